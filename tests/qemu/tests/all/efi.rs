//! EFI programs in the place of the kernel (`tests/efi-check`): boot services, checked from inside.
//!
//! The program takes the name of the check from its command line, prints its findings like the
//! initramfs does, and powers off.
