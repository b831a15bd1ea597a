//! The EFI status of each error of the core.

use r_efi::efi::Status;
use uefi_core::events::EventError;
use uefi_core::handles::HandleError;
use uefi_core::memory_map::MapError;

/// An error that has an EFI status.
pub trait ToStatus {
    /// The status.
    fn status(self) -> Status;
}

impl ToStatus for MapError {
    fn status(self) -> Status {
        match self {
            Self::Invalid => Status::INVALID_PARAMETER,
            Self::NotFound => Status::NOT_FOUND,
            Self::OutOfResources => Status::OUT_OF_RESOURCES,
        }
    }
}

impl ToStatus for EventError {
    fn status(self) -> Status {
        match self {
            Self::Invalid => Status::INVALID_PARAMETER,
            Self::OutOfResources => Status::OUT_OF_RESOURCES,
        }
    }
}

impl ToStatus for HandleError {
    fn status(self) -> Status {
        match self {
            Self::Invalid | Self::AlreadyInstalled => Status::INVALID_PARAMETER,
            Self::Unsupported => Status::UNSUPPORTED,
            Self::NotFound => Status::NOT_FOUND,
            Self::AccessDenied => Status::ACCESS_DENIED,
            Self::AlreadyStarted => Status::ALREADY_STARTED,
            Self::OutOfResources => Status::OUT_OF_RESOURCES,
        }
    }
}
