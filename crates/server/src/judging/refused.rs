//! What the register and the rules refuse, as errors of the API.

use baton_authority::Forbidden;
use baton_authority::docket::Rejected;
use baton_authority::docket::line::NotRuled;

use crate::error::ApiError;

impl From<baton_register::Error> for ApiError {
    fn from(error: baton_register::Error) -> Self {
        match error {
            baton_register::Error::Rejected(rejected) => rejected.into(),
            baton_register::Error::NotRuled(NotRuled::Reason(problem)) => Self::invalid("reason", problem.to_string()),
            baton_register::Error::NotRuled(ruled) => Self::conflict(ruled.to_string()),
            baton_register::Error::Ledger(error @ baton_ledger::Error::NothingToErase) => {
                Self::conflict(error.to_string())
            }
            baton_register::Error::Ledger(error @ baton_ledger::Error::Unknown(_)) => Self::no_entry(error.to_string()),
            baton_register::Error::Ledger(error @ baton_ledger::Error::NoReason) => {
                Self::invalid("reason", error.to_string())
            }
            baton_register::Error::Ledger(error) if error.is_request_fault() => {
                Self::invalid("input", format!("the ledger cannot keep this: {error}"))
            }
            baton_register::Error::Ledger(error) => {
                tracing::error!(%error, "the ledger cannot be used");
                Self::no_ledger()
            }
            fault => {
                tracing::error!(error = %fault, "the record does not hold together");
                Self::internal("the record of decisions does not hold together; tell an operator")
            }
        }
    }
}

impl From<Rejected> for ApiError {
    fn from(rejected: Rejected) -> Self {
        let message = rejected.to_string();
        match rejected {
            Rejected::Unknown(_) => Self::no_decision(message),
            Rejected::NotYours | Rejected::OwnRequest | Rejected::NotYourTwin(_) | Rejected::Invariant(_) => {
                Self::forbidden(message)
            }
            Rejected::Words(_) => Self::invalid("reason", message),
            _ => Self::conflict(message),
        }
    }
}

impl From<Forbidden> for ApiError {
    fn from(forbidden: Forbidden) -> Self {
        Self::forbidden(forbidden.to_string())
    }
}
