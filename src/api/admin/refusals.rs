//! What use cases of the control plane refuse, in the words of the contract.

use crate::{
    api::problem::{Code, Problem},
    control::{Error, model::Kind},
};

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Code::NotFound.into(),
            Error::Exists(Kind::Approval) => Self::new(Code::AlreadyExists).because("it was submitted before"),
            Error::Exists(kind) => Self::new(Code::AlreadyExists).because(format!("the name is taken ({kind})")),
            Error::Invalid(faults) => faults.into(),
            Error::OwnRequest => Code::OwnRequest.into(),
            Error::NotPending(status) => Self::new(Code::NotPending).because(format!("it is {status}")),
            Error::NotApproved(why) => Self::new(Code::NotApproved).because(why),
            Error::Busy => Code::Overloaded.into(),
            Error::Unreadable(error) => broken(&error),
            Error::Seal(error) => broken(&error),
            Error::Store(error) => error.into(),
        }
    }
}

fn broken(error: &(dyn std::error::Error + 'static)) -> Problem {
    tracing::error!(error, "the control plane broke on a request");
    Code::Internal.into()
}
