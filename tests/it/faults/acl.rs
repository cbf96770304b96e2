//! Rights on a Kafka broker's topics, as its administrator gives and takes them: one request of Kafka's own protocol.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// `CreateAcls`, in its oldest version that brokers still take.
const CREATE_ACLS: i16 = 30;
const VERSION: i16 = 1;
/// Whoever comes without a password.
const EVERYBODY: &str = "User:ANONYMOUS";

/// On what, by the protocol's numbers: kind of resource, its name, and whether the name is whole or a prefix.
pub struct On(i8, String, i8);

impl On {
    pub fn cluster() -> Self {
        Self(4, "kafka-cluster".to_owned(), 3)
    }

    pub fn topics(prefix: &str) -> Self {
        Self(2, prefix.to_owned(), 4)
    }
}

#[derive(Clone, Copy)]
pub enum Right {
    All = 2,
    Write = 4,
    Create = 5,
}

#[derive(Clone, Copy)]
pub enum Rule {
    Deny = 2,
    Allow = 3,
}

/// Sets rules for everybody; the broker has taken them when this returns.
pub async fn set(port: u16, rules: &[(On, Right, Rule)]) {
    fn text(into: &mut Vec<u8>, text: &str) {
        into.extend(i16::try_from(text.len()).unwrap().to_be_bytes());
        into.extend(text.as_bytes());
    }
    let mut request = Vec::new();
    request.extend(CREATE_ACLS.to_be_bytes());
    request.extend(VERSION.to_be_bytes());
    request.extend(7_i32.to_be_bytes());
    text(&mut request, "administrator");
    request.extend(i32::try_from(rules.len()).unwrap().to_be_bytes());
    for (On(kind, name, pattern), right, rule) in rules {
        request.push(kind.cast_unsigned());
        text(&mut request, name);
        request.push(pattern.cast_unsigned());
        text(&mut request, EVERYBODY);
        text(&mut request, "*");
        request.push(*right as u8);
        request.push(*rule as u8);
    }
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(&u32::try_from(request.len()).unwrap().to_be_bytes()).await.unwrap();
    stream.write_all(&request).await.unwrap();
    let mut answer = vec![0; stream.read_u32().await.unwrap() as usize];
    stream.read_exact(&mut answer).await.unwrap();
    // Its number, how long it was throttled, and for each rule an error's number and text; -1 is no text.
    let mut results = &answer[12..];
    assert_eq!(answer[8..12], i32::try_from(rules.len()).unwrap().to_be_bytes(), "{answer:?}");
    for _ in rules {
        let (error, length) = (&results[..2], i16::from_be_bytes(results[2..4].try_into().unwrap()));
        let words = &results[4..][..usize::try_from(length).unwrap_or(0)];
        assert_eq!(error, [0, 0], "{}", String::from_utf8_lossy(words));
        results = &results[4 + words.len()..];
    }
}
