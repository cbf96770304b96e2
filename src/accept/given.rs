//! Fields of a JSON body as they were given: absent, null, right, or wrong.
//!
//! A derived deserialiser stops at the first wrong field; a tree of values tells all of them but costs an allocation a
//! field. Here a body is read once, straight into typed fields, and a field that does not fit is remembered as such. So
//! the way of a right message costs nothing extra, and a wrong one learns everything at once.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Number;
use tidings_core::redact::Redacted;

/// Stray names beyond this are not listed: nobody misspells so many.
const MAX_STRAY: usize = 50;

/// Why a value does not fit its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// Another JSON type.
    Type,
    /// The right type, but not of the form.
    Format,
}

impl Misfit {
    pub const fn code(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Format => "format",
        }
    }
}

/// A field of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Given<T> {
    #[default]
    Absent,
    Null,
    Is(T),
    Wrong(Misfit),
}

impl<T> Given<T> {
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// A type that a JSON value may be read as. Whatever is not overridden does not fit.
pub trait FromJson: Sized {
    /// Completes "must be".
    const EXPECTED: &'static str;

    fn from_text(_: &str) -> Result<Self, Misfit> {
        Err(Misfit::Type)
    }

    fn from_flag(_: bool) -> Result<Self, Misfit> {
        Err(Misfit::Type)
    }

    fn from_number(_: Number) -> Result<Self, Misfit> {
        Err(Misfit::Type)
    }

    fn from_list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Result<Self, Misfit>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Err(Misfit::Type))
    }

    fn from_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Result<Self, Misfit>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Err(Misfit::Type))
    }

    /// Adds what it says to `out`, equal for equal JSON: numbers, flags and texts cannot be mistaken for each other.
    fn feed(&self, out: &mut Vec<u8>);

    /// Takes from `defaults` what is absent here: only objects have anything to take.
    #[must_use]
    fn over(self, _: &Self) -> Self {
        self
    }
}

impl<T: FromJson> Given<T> {
    /// Null is as good as absent: both take the default.
    pub fn feed(&self, out: &mut Vec<u8>) {
        match self {
            Self::Is(value) => {
                out.push(1);
                value.feed(out);
            }
            _ => out.push(0),
        }
    }
}

fn given<T>(read: Result<T, Misfit>) -> Given<T> {
    match read {
        Ok(value) => Given::Is(value),
        Err(misfit) => Given::Wrong(misfit),
    }
}

impl<'de, T: FromJson> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any<T>(PhantomData<T>);
        impl<'de, T: FromJson> Visitor<'de> for Any<T> {
            type Value = Given<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON value")
            }
            fn visit_unit<E>(self) -> Result<Given<T>, E> {
                Ok(Given::Null)
            }
            fn visit_bool<E>(self, flag: bool) -> Result<Given<T>, E> {
                Ok(given(T::from_flag(flag)))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Given<T>, E> {
                Ok(given(T::from_number(number.into())))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Given<T>, E> {
                Ok(given(T::from_number(number.into())))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Given<T>, E> {
                Ok(given(Number::from_f64(number).ok_or(Misfit::Format).and_then(T::from_number)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Given<T>, E> {
                Ok(given(T::from_text(text)))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Given<T>, A::Error> {
                T::from_list(list).map(given)
            }
            fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Given<T>, A::Error> {
                T::from_object(object).map(given)
            }
        }
        deserializer.deserialize_any(Any(PhantomData))
    }
}

impl FromJson for String {
    const EXPECTED: &'static str = "text without U+0000";

    /// A database does not hold the character U+0000, and nobody means it.
    fn from_text(text: &str) -> Result<Self, Misfit> {
        if text.contains('\0') { Err(Misfit::Format) } else { Ok(text.to_owned()) }
    }

    fn feed(&self, out: &mut Vec<u8>) {
        out.extend((self.len() as u64).to_le_bytes());
        out.extend(self.as_bytes());
    }
}

impl<T: FromJson> FromJson for Redacted<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn from_text(text: &str) -> Result<Self, Misfit> {
        T::from_text(text).map(Self::new)
    }

    fn from_object<'de, A: MapAccess<'de>>(object: A) -> Result<Result<Self, Misfit>, A::Error> {
        T::from_object(object).map(|read| read.map(Self::new))
    }

    fn feed(&self, out: &mut Vec<u8>) {
        self.expose().feed(out);
    }
}

impl FromJson for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_flag(flag: bool) -> Result<Self, Misfit> {
        Ok(flag)
    }

    fn feed(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl FromJson for i64 {
    const EXPECTED: &'static str = "a whole number";

    /// JSON knows one kind of number: `300.0` is whole.
    fn from_number(number: Number) -> Result<Self, Misfit> {
        #[expect(clippy::cast_possible_truncation, reason = "in range and without a fraction, as checked before")]
        let whole = |float: f64| (float.fract() == 0.0 && float.abs() < 9.0e15).then_some(float as Self);
        number.as_i64().or_else(|| number.as_f64().and_then(whole)).ok_or(Misfit::Format)
    }

    fn feed(&self, out: &mut Vec<u8>) {
        out.extend(self.to_le_bytes());
    }
}

/// A string, number or flag.
#[derive(Clone, Debug, PartialEq)]
struct Scalar(serde_json::Value);

impl FromJson for Scalar {
    const EXPECTED: &'static str = "a string, a number or a boolean";

    fn from_text(text: &str) -> Result<Self, Misfit> {
        String::from_text(text).map(|text| Self(text.into()))
    }

    fn from_flag(flag: bool) -> Result<Self, Misfit> {
        Ok(Self(flag.into()))
    }

    fn from_number(number: Number) -> Result<Self, Misfit> {
        Ok(Self(number.into()))
    }

    fn feed(&self, out: &mut Vec<u8>) {
        match &self.0 {
            serde_json::Value::String(text) => {
                out.push(b's');
                text.feed(out);
            }
            other => {
                out.push(b'v');
                other.to_string().feed(out);
            }
        }
    }
}

/// An object with any names, all values of one type, and the names of those that are not.
#[derive(Clone, Debug, PartialEq)]
pub struct Named<V> {
    pub values: BTreeMap<String, V>,
    pub wrong: Vec<(String, Misfit)>,
}

impl<V> Default for Named<V> {
    fn default() -> Self {
        Self { values: BTreeMap::new(), wrong: Vec::new() }
    }
}

impl<V> Named<V> {
    /// Reads every entry as a `T` and keeps it as a `V`. More than `most` are read over: they are counted, not kept.
    fn read<'de, T: FromJson, A: MapAccess<'de>>(mut object: A, keep: impl Fn(T) -> V) -> Result<Self, A::Error> {
        let mut named = Self::default();
        while let Some(name) = object.next_key::<String>()? {
            match object.next_value::<Given<T>>()? {
                Given::Is(_) if name.contains('\0') => named.wrong.push((name, Misfit::Format)),
                Given::Is(value) => _ = named.values.insert(name, keep(value)),
                Given::Wrong(misfit) => named.wrong.push((name, misfit)),
                Given::Null | Given::Absent => named.wrong.push((name, Misfit::Type)),
            }
        }
        Ok(named)
    }
}

/// Parameters of a template.
pub type Scalars = Named<serde_json::Value>;

impl FromJson for Scalars {
    const EXPECTED: &'static str = "an object of strings, numbers and booleans";

    fn from_object<'de, A: MapAccess<'de>>(object: A) -> Result<Result<Self, Misfit>, A::Error> {
        Self::read::<Scalar, A>(object, |scalar| scalar.0).map(Ok)
    }

    fn feed(&self, out: &mut Vec<u8>) {
        out.extend((self.values.len() as u64).to_le_bytes());
        for (name, value) in &self.values {
            name.feed(out);
            Scalar(value.clone()).feed(out);
        }
    }
}

/// Strings by name.
pub type Texts = Named<String>;

impl FromJson for Texts {
    const EXPECTED: &'static str = "an object of strings";

    fn from_object<'de, A: MapAccess<'de>>(object: A) -> Result<Result<Self, Misfit>, A::Error> {
        Self::read::<String, A>(object, |text| text).map(Ok)
    }

    fn feed(&self, out: &mut Vec<u8>) {
        out.extend((self.values.len() as u64).to_le_bytes());
        for (name, value) in &self.values {
            name.feed(out);
            value.feed(out);
        }
    }
}

/// A name in an object that does not belong there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stray {
    Unknown(String),
    Duplicate(&'static str),
}

/// Keeps a stray name unless there are too many to list.
pub fn keep_stray(kept: &mut Vec<Stray>, stray: Stray) {
    if kept.len() < MAX_STRAY {
        kept.push(stray);
    }
}

/// Finds a key among known names without allocating; an unknown one is returned as text.
#[derive(Clone, Copy)]
pub struct KeyAmong(pub &'static [&'static str]);

impl<'de> DeserializeSeed<'de> for KeyAmong {
    type Value = Result<usize, String>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyAmong {
    type Value = Result<usize, String>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }
    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|known| *known == key).ok_or_else(|| key.to_owned()))
    }
}

/// Declares an object with known fields, each [`Given`] or not, that is read in one pass.
macro_rules! object {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $crate::accept::given::Given<$type>,)*
            /// Names that do not belong here.
            pub stray: Vec<$crate::accept::given::Stray>,
        }

        impl $name {
            pub const NAMES: &'static [&'static str] = &[$(stringify!($field)),*];
        }

        impl $crate::accept::given::FromJson for $name {
            const EXPECTED: &'static str = "an object";

            fn from_object<'de, A: serde::de::MapAccess<'de>>(
                mut object: A,
            ) -> Result<Result<Self, $crate::accept::given::Misfit>, A::Error> {
                use $crate::accept::given::{KeyAmong, Stray, keep_stray};
                let mut read = Self::default();
                while let Some(key) = object.next_key_seed(KeyAmong(Self::NAMES))? {
                    let index = match key {
                        Ok(index) => index,
                        Err(unknown) => {
                            object.next_value::<serde::de::IgnoredAny>()?;
                            keep_stray(&mut read.stray, Stray::Unknown(unknown));
                            continue;
                        }
                    };
                    let mut at = 0;
                    $(
                        if index == at {
                            if !read.$field.is_absent() {
                                keep_stray(&mut read.stray, Stray::Duplicate(stringify!($field)));
                            }
                            read.$field = object.next_value()?;
                            continue;
                        }
                        at += 1;
                    )*
                    let _ = at;
                }
                Ok(Ok(read))
            }

            fn feed(&self, out: &mut Vec<u8>) {
                $(self.$field.feed(out);)*
            }

            fn over(mut self, defaults: &Self) -> Self {
                $(if self.$field.is_absent() { self.$field = defaults.$field.clone(); })*
                self.stray.extend(defaults.stray.iter().cloned());
                self
            }
        }
    };
}
pub(crate) use object;
