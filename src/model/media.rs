//! How far an upload is, as it is stored.

/// How far an upload is. The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub enum State {
    AwaitingUpload = 0,
    Processing = 1,
    Ready = 2,
    Failed = 3,
}

impl State {
    /// From its stored number; an unknown one can't be shown.
    pub const fn from_row(number: i16) -> Self {
        match number {
            0 => Self::AwaitingUpload,
            1 => Self::Processing,
            2 => Self::Ready,
            _ => Self::Failed,
        }
    }
}
