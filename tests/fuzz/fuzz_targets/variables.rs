//! The store of variables that a reset leaves, as whoever had the memory meanwhile may have left it.
#![no_main]

use r_efi::efi::VARIABLE_NON_VOLATILE;
use realmfw_runtime::variables::{Kept, Phase, Seal, Store, Variables};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut bytes = data.to_vec();
    bytes.resize(data.len() + 1024, 0x5a);
    assert_eq!(Seal::over(1, Kept::FIRST, data).opens(&bytes), Some(data));
    let mut used = data.len();
    let mut variables = Variables::new(Store::new(&mut bytes, &mut used), Phase::Boot);
    variables.outlive_reset();
    let mut found = Vec::new();
    let (mut name, mut guid) = (Vec::new(), r_efi::efi::GLOBAL_VARIABLE);
    while let Ok((next, vendor)) = variables.next(&name, &guid) {
        (name, guid) = (next.to_vec(), vendor);
        let (attributes, data) = variables.get(&name, &guid).unwrap();
        assert_ne!(attributes & VARIABLE_NON_VOLATILE, 0);
        found.push((name.clone(), guid, attributes, data.to_vec()));
    }
    // Each is one that can be made, and there is no second of its name.
    let mut bytes = vec![0; data.len() + 1024];
    let mut used = 0;
    let mut again = Variables::new(Store::new(&mut bytes, &mut used), Phase::Boot);
    for (name, guid, attributes, data) in &found {
        assert!(again.get(name, guid).is_err());
        again.set(name, guid, *attributes, data).unwrap();
    }
});
