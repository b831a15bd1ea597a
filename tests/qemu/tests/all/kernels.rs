//! Debian's kernels reach user space, and every check there holds: each pair of properties of the
//! machine is booted at least once.

use anyhow::Result;
use qemu_tests::Boot;
use vm::workspace::Kernel::{self, Linux6_12, Linux7};

const CPUS: [u32; 2] = [1, 4];
const MEMORY: [u64; 2] = [512, 6144];
const GIC: [u32; 2] = [2, 3];
const MODELS: [&str; 3] = ["cortex-a57", "neoverse-n1", "max"];

/// Makes a test of each row and a table of all.
macro_rules! boots {
    ($($name:ident: $kernel:ident, $cpus:literal, $memory:literal, EL $el:literal, GIC $gic:literal, highmem $highmem:literal, $cpu:literal;)*) => {
        const BOOTS: &[Boot] = &[$(Boot {
            kernel: $kernel,
            cpus: $cpus,
            memory_mib: $memory,
            el2: $el == 2,
            gic: $gic,
            highmem: $highmem,
            cpu: $cpu,
        }),*];
        boots!(@test 0usize; $($name)*);
    };
    (@test $index:expr; $name:ident $($rest:ident)*) => {
        #[test]
        fn $name() -> Result<()> {
            BOOTS[$index].passes().map(|_| ())
        }
        boots!(@test $index + 1; $($rest)*);
    };
    (@test $index:expr;) => {};
}

boots! {
    linux7_max_512m_el1_gic3: Linux7, 1, 512, EL 1, GIC 3, highmem true, "max";
    linux6_12_max_4_cpus_6g_el2_gic2: Linux6_12, 4, 6144, EL 2, GIC 2, highmem true, "max";
    linux7_a57_4_cpus_512m_el2_gic3_low: Linux7, 4, 512, EL 2, GIC 3, highmem false, "cortex-a57";
    linux6_12_a57_6g_el1_gic3: Linux6_12, 1, 6144, EL 1, GIC 3, highmem true, "cortex-a57";
    linux7_n1_6g_el2_gic2: Linux7, 1, 6144, EL 2, GIC 2, highmem true, "neoverse-n1";
    linux6_12_n1_4_cpus_512m_el1_gic2_low: Linux6_12, 4, 512, EL 1, GIC 2, highmem false, "neoverse-n1";
    linux7_n1_4_cpus_6g_el1_gic3: Linux7, 4, 6144, EL 1, GIC 3, highmem true, "neoverse-n1";
    linux6_12_max_512m_el2_gic3_low: Linux6_12, 1, 512, EL 2, GIC 3, highmem false, "max";
    linux7_a57_512m_el1_gic2_low: Linux7, 1, 512, EL 1, GIC 2, highmem false, "cortex-a57";
    linux6_12_n1_4_cpus_512m_el2_gic3: Linux6_12, 4, 512, EL 2, GIC 3, highmem true, "neoverse-n1";
}

/// The value of each property of a boot, by its place in the list of values.
fn properties(boot: &Boot) -> [usize; 7] {
    fn at<T: PartialEq>(values: &[T], value: T) -> usize {
        let at = values.iter().position(|one| *one == value);
        at.unwrap_or_else(|| panic!("a value that no list has"))
    }
    [
        at(&Kernel::ALL, boot.kernel),
        at(&CPUS, boot.cpus),
        at(&MEMORY, boot.memory_mib),
        usize::from(boot.el2),
        at(&GIC, boot.gic),
        usize::from(boot.highmem),
        at(&MODELS, boot.cpu),
    ]
}

#[test]
fn the_table_has_every_pair_of_properties() {
    let values = [2, 2, 2, 2, 2, 2, MODELS.len()];
    let rows: Vec<_> = BOOTS.iter().map(properties).collect();
    let mut missing = Vec::new();
    for one in 0..values.len() {
        for other in one + 1..values.len() {
            for a in 0..values[one] {
                for b in 0..values[other] {
                    // QEMU has no place for 6 GiB without highmem.
                    let impossible = (one, other, a, b) == (2, 5, 1, 0);
                    let found = rows.iter().any(|row| row[one] == a && row[other] == b);
                    if !impossible && !found {
                        missing.push((one, a, other, b));
                    }
                }
            }
        }
    }
    assert_eq!(missing, []);
}
