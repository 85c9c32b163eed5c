//! Counts what people do, for operators.

/// Something that people do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    SignUp,
    Post,
    Comment,
    Message,
    Like,
    Follow,
}

impl Activity {
    pub fn count(self) {
        let activity = match self {
            Self::SignUp => "sign_up",
            Self::Post => "post",
            Self::Comment => "comment",
            Self::Message => "message",
            Self::Like => "like",
            Self::Follow => "follow",
        };
        metrics::counter!("fowergram_activity_total", "activity" => activity).increment(1);
    }
}
