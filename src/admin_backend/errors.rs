//! Errors of use cases, as a person at a page can act on them. 5xx reasons stay in the log.

use tidings_admin::{Error, backend::Fault};

use crate::{control, store};

pub fn control(error: control::Error) -> Error {
    match error {
        control::Error::NotFound => Error::NotFound,
        control::Error::Exists(kind) => {
            let text = format!("There is {} of this name already.", article(kind.as_str()));
            Error::Invalid(vec![Fault { field: "name".to_owned(), text }])
        }
        control::Error::Invalid(faults) => Error::Invalid(faults.into_iter().map(fault).collect()),
        control::Error::OwnRequest => Error::OwnRequest,
        control::Error::NotPending(status) => Error::Conflict(format!("It is {status} already; somebody was faster.")),
        control::Error::NotApproved(text) => Error::Conflict(format!("Not possible in its present state: {text}.")),
        control::Error::Busy => Error::Conflict("Others change the same thing at this moment. Try again.".to_owned()),
        error => unavailable(&error),
    }
}

pub fn store(error: store::Error) -> Error {
    unavailable(&error)
}

fn unavailable(error: &(dyn std::error::Error + 'static)) -> Error {
    // The page says that the store is away; why is for whoever reads the log.
    tracing::warn!(error, "a page could not be shown");
    Error::Unavailable
}

fn fault(fault: control::fields::Fault) -> Fault {
    let path = fault.path();
    let field = path.trim_start_matches('/').split(['/', '.']).next().unwrap_or_default().to_owned();
    let subject = if path.is_empty() { String::new() } else { format!("{}: ", path.trim_start_matches('/')) };
    Fault { field, text: format!("{subject}{}.", fault.detail.trim_end_matches('.')) }
}

fn article(word: &str) -> String {
    let word = word.replace('_', " ");
    if word.starts_with(['a', 'e', 'i', 'o']) { format!("an {word}") } else { format!("a {word}") }
}
