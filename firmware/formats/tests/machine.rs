//! The machine of a device tree: the VMMs' own trees, and what is refused in a hostile one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use formats::Region;
use formats::machine::{Conduit, Console, EnableMethod, Gic, Machine, MachineError, Reservation, Uart, WindowSpace};
use support::machines::{self, Qemu};
use support::tree::TreeBuilder;

fn region(base: u64, size: u64) -> Region {
    Region::new(base, size).unwrap()
}

fn read(tree: TreeBuilder) -> Result<Machine, MachineError> {
    Machine::from_device_tree(&tree.finish(0))
}

/// A machine of one bank of RAM at 0x4000_0000 and what `more` adds to the root.
fn with(more: impl FnOnce(&mut TreeBuilder)) -> Result<Machine, MachineError> {
    read(TreeBuilder::new(|root| {
        machines::root_cells(root);
        machines::memory(root, 0x4000_0000, 0x1000_0000);
        more(root);
    }))
}

fn bad(node: &'static str, property: &'static str) -> MachineError {
    MachineError::Property { node, property }
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn qemu() {
    let machine = read(machines::qemu(&Qemu::default())).unwrap();
    assert_eq!(machine.memory, [region(0x4000_0000, 0x2000_0000)]);
    assert_eq!(machine.reserved, []);
    assert_eq!(machine.psci, Some(Conduit::Hvc));
    assert_eq!(machine.console, Some(Console { uart: Uart::Pl011, region: region(0x900_0000, 0x1000) }));
    let fw_cfg = machine.fw_cfg.unwrap();
    assert_eq!(fw_cfg.region, region(0x902_0000, 0x18));
    assert!(fw_cfg.may_have_dma() && fw_cfg.has_wide_data());
    assert_eq!(machine.rtc, Some(region(0x901_0000, 0x1000)));
    assert_eq!(machine.virtio_mmio.len(), 32);
    assert_eq!(machine.virtio_mmio[31].region, region(0xa00_3e00, 0x200));
    assert_eq!(machine.virtio_mmio[31].interrupt, Some(32 + 47));
    assert_eq!(
        machine.gic,
        Some(Gic::V3 {
            distributor: region(0x800_0000, 0x1_0000),
            redistributors: vec![region(0x80a_0000, 0xf6_0000)],
        })
    );
    let affinities: Vec<u64> = machine.cpus.iter().map(|cpu| cpu.mpidr).collect();
    assert_eq!(affinities, [0, 1, 2, 3]);
    assert!(machine.cpus.iter().all(|cpu| cpu.enabled && cpu.enable_method == EnableMethod::Psci));

    let [host] = &machine.pcie[..] else {
        panic!("one host bridge");
    };
    assert_eq!(host.ecam, region(0x40_1000_0000, 0x1000_0000));
    assert_eq!((host.first_bus, host.last_bus), (0, 255));
    let windows: Vec<_> = host.windows.iter().map(|w| (w.space, w.prefetchable, w.cpu, w.pci_base)).collect();
    assert_eq!(
        windows,
        [
            (WindowSpace::Io, false, region(0x3eff_0000, 0x1_0000), 0),
            (WindowSpace::Memory32, false, region(0x1000_0000, 0x2eff_0000), 0x1000_0000),
            (WindowSpace::Memory64, false, region(0x80_0000_0000, 0x80_0000_0000), 0x80_0000_0000),
        ]
    );
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn qemu_variants() {
    let machine = read(machines::qemu(&Qemu {
        gic_v2: true,
        highmem: false,
        // As with two NUMA nodes: the later one first.
        banks: vec![(0x8000_0000, 0x4000_0000), (0x4000_0000, 0x4000_0000)],
        cpus: 1,
        transports: 0,
    }))
    .unwrap();
    assert_eq!(machine.memory, [region(0x4000_0000, 0x8000_0000)]);
    assert!(matches!(machine.gic, Some(Gic::V2 { .. })));
    assert_eq!(machine.pcie[0].ecam, region(0x3f00_0000, 0x100_0000));
    assert_eq!(machine.pcie[0].last_bus, 15);

    // 1 TiB, as one bank.
    let machine = read(machines::qemu(&Qemu { banks: vec![(0x4000_0000, 1 << 40)], ..Qemu::default() }));
    // QEMU would have moved the 64-bit window behind it.
    assert!(matches!(machine, Err(MachineError::Overlap { .. })));
}

/// The DMA register of fw_cfg is optional: Linux' binding has a region of 0xa bytes.
#[test]
fn fw_cfg_without_dma() {
    let of = |size: u64, coherent: bool| {
        let machine = with(|root| {
            root.node("fw-cfg@9020000", |node| {
                node.text("compatible", "qemu,fw-cfg-mmio").wide("reg", &[0x902_0000, size]);
                if coherent {
                    node.flag("dma-coherent");
                }
            });
        });
        machine.map(|machine| machine.fw_cfg.map(|fw_cfg| (fw_cfg.may_have_dma(), fw_cfg.has_wide_data())))
    };
    assert_eq!(of(0x9, true), Err(bad("qemu,fw-cfg-mmio", "reg")));
    assert_eq!(of(0xa, true), Ok(Some((false, false))));
    assert_eq!(of(0x10, true), Ok(Some((false, true))));
    assert_eq!(of(0x17, true), Ok(Some((false, true))));
    assert_eq!(of(0x18, true), Ok(Some((true, true))));
    assert_eq!(of(0x18, false), Ok(Some((false, true))), "what the device writes may not be seen");
}

#[test]
fn kvmtool() {
    let machine = read(machines::kvmtool()).unwrap();
    assert_eq!(machine.memory, [region(0x8000_0000, 0x2000_0000)]);
    assert_eq!(machine.psci, Some(Conduit::Smc));
    assert_eq!(
        machine.console,
        Some(Console { uart: Uart::Ns16550 { reg_shift: 0, reg_io_width: 1 }, region: region(0x100_0000, 8) })
    );
    assert_eq!(machine.fw_cfg, None);
    assert_eq!(machine.rtc, None);
    let host = &machine.pcie[0];
    assert_eq!((host.first_bus, host.last_bus), (0, 0));
    assert_eq!(host.windows[0].cpu, region(0, 0x1_0000));
}

#[test]
fn cloud_hypervisor() {
    let machine = read(machines::cloud_hypervisor()).unwrap();
    assert_eq!(machine.fw_cfg.unwrap().region, region(0x903_0000, 0x18));
    assert_eq!(machine.console.unwrap().region, region(0x900_0000, 0x1000));
    assert_eq!(machine.pcie[0].windows[1].space, WindowSpace::Memory64);
}

#[test]
fn crosvm() {
    let machine = read(machines::crosvm()).unwrap();
    assert_eq!(machine.console.unwrap().region, region(0x3f8, 8));
    assert!(machine.pcie.is_empty(), "CAM is no ECAM");
    let reserved: Vec<_> = machine.reserved.iter().map(|reserved| (reserved.region, reserved.by)).collect();
    let block = (region(0x8000_0000, 0x1_0000), Reservation::Block);
    assert_eq!(reserved, [block, (region(0xbfff_0000, 0x1_0000), Reservation::NoMap)]);
}

#[test]
fn memory_banks() {
    let banks = |banks: &'static [(u64, u64)]| {
        read(TreeBuilder::new(|root| {
            machines::root_cells(root);
            for (index, (base, size)) in banks.iter().enumerate() {
                root.node(&format!("memory@{index}"), |node| {
                    node.text("device_type", "memory").wide("reg", &[*base, *size]);
                });
            }
        }))
        .map(|machine| machine.memory)
    };
    assert_eq!(
        banks(&[(0x8000_0000, 0x1000), (0x4000_0000, 0x1000)]).unwrap(),
        [region(0x4000_0000, 0x1000), region(0x8000_0000, 0x1000)]
    );
    assert_eq!(banks(&[(0x4000_1000, 0x1000), (0x4000_0000, 0x1000), (0, 0)]).unwrap(), [region(0x4000_0000, 0x2000)]);
    assert!(matches!(banks(&[(0x4000_0000, 0x2000), (0x4000_1000, 0x2000)]), Err(MachineError::Overlap { .. })));
    assert!(matches!(banks(&[(0x4000_0000, 0x2000), (0x4000_0000, 0x2000)]), Err(MachineError::Overlap { .. })));
    for wrong in [
        &[(0xffff_ffff_ffff_f000, 0x2000)],
        &[((1 << 52) - 0x1000, 0x2000)],
        &[(0x4000_0800, 0x1000)],
        &[(0x4000_0000, 0x1800)],
    ] {
        assert_eq!(banks(wrong), Err(bad("/memory", "reg")));
    }
    assert_eq!(banks(&[]), Err(MachineError::NoMemory));
    assert_eq!(banks(&[(0x4000_0000, 0)]), Err(MachineError::NoMemory));
}

#[test]
fn memory_nodes_that_count() {
    let node = |more: fn(&mut TreeBuilder)| {
        let machine = with(|root| {
            root.node("memory@8000000000", |node| {
                node.wide("reg", &[0x80_0000_0000, 0x1000, 0x90_0000_0000, 0x1000]);
                more(node);
            });
        });
        machine.unwrap().memory.len() - 1
    };
    assert_eq!(node(|_| ()), 0, "no device_type");
    let memory = |node: &mut TreeBuilder| {
        node.text("device_type", "memory");
    };
    assert_eq!(node(memory), 2);
    assert_eq!(
        node(|node| {
            node.text("device_type", "memory").flag("hotpluggable");
        }),
        2
    );
    assert_eq!(
        node(|node| {
            node.text("device_type", "memory").text("status", "okay");
        }),
        2
    );
    assert_eq!(
        node(|node| {
            node.text("device_type", "memory").text("status", "disabled");
        }),
        0
    );
}

#[test]
fn cells_are_checked() {
    let machine = |address: u32, size: u32, reg: &[u32]| {
        let tree = TreeBuilder::new(|root| {
            root.cells("#address-cells", &[address]).cells("#size-cells", &[size]);
            root.node("memory", |node| {
                node.text("device_type", "memory").cells("reg", reg);
            });
        });
        read(tree).map(|machine| machine.memory)
    };
    let expected = Ok(vec![region(0x4000_0000, 0x1000)]);
    assert_eq!(machine(1, 1, &[0x4000_0000, 0x1000]), expected);
    assert_eq!(machine(2, 1, &[0, 0x4000_0000, 0x1000]), expected);
    assert_eq!(machine(3, 2, &[0, 0, 0x4000_0000, 0, 0x1000]), expected);
    let reg = Err(bad("/memory", "reg"));
    assert_eq!(machine(3, 2, &[1, 0, 0x4000_0000, 0, 0x1000]), reg);
    assert_eq!(machine(2, 2, &[0, 0x4000_0000, 0x1000]), reg);
    assert_eq!(machine(2, 0, &[0, 0x4000_0000]), reg);
    assert_eq!(machine(4, 1, &[0, 0, 0, 0x4000_0000, 0x1000]), Err(bad("/memory", "#address-cells")));
    assert_eq!(machine(1, 0xffff_ffff, &[0x4000_0000, 0x1000]), Err(bad("/memory", "#size-cells")));
    // Without the properties: 2 and 1.
    let tree = TreeBuilder::new(|root| {
        root.node("memory", |node| {
            node.text("device_type", "memory").cells("reg", &[0, 0x4000_0000, 0x1000]);
        });
    });
    assert_eq!(read(tree).map(|machine| machine.memory), expected);
}

/// A UART behind two buses.
fn on_buses(outer: Option<&[u32]>, inner: Option<&[u32]>) -> Result<Option<Region>, MachineError> {
    let machine = with(|root| {
        root.node("soc", |soc| {
            soc.cells("#address-cells", &[1]).cells("#size-cells", &[1]);
            if let Some(ranges) = outer {
                soc.cells("ranges", ranges);
            }
            soc.node("bus", |bus| {
                bus.cells("#address-cells", &[1]).cells("#size-cells", &[1]);
                if let Some(ranges) = inner {
                    bus.cells("ranges", ranges);
                }
                bus.node("uart@100", |uart| {
                    uart.text("compatible", "arm,pl011").cells("reg", &[0x100, 0x1000]);
                });
            });
        });
    });
    machine.map(|machine| machine.console.map(|console| console.region))
}

#[test]
fn buses_are_translated() {
    let identity = Some(&[][..]);
    assert_eq!(on_buses(identity, identity), Ok(Some(region(0x100, 0x1000))));
    assert_eq!(on_buses(None, identity), Ok(None));
    assert_eq!(on_buses(identity, None), Ok(None));
    let outer = &[0, 0, 0x900_0000, 0x10_0000][..];
    let inner = &[0x8000, 0x9000, 0x1000, 0, 0x2000, 0x8000][..];
    assert_eq!(on_buses(Some(outer), Some(inner)), Ok(Some(region(0x900_2100, 0x1000))));
    // Not all of it is in the range.
    let short = &[0, 0x2000, 0x10ff][..];
    assert_eq!(on_buses(Some(outer), Some(short)), Ok(None));
    let odd = &[0, 0x2000][..];
    assert_eq!(on_buses(Some(outer), Some(odd)), Err(bad("arm,pl011", "ranges")));
    let wrapping = &[0, 0xffff_ffff, 0xffff_ff00, 0x10_0000][..];
    assert_eq!(on_buses(Some(wrapping), Some(inner)), Err(bad("arm,pl011", "ranges")));
}

fn uart(root: &mut TreeBuilder, base: u32, more: impl FnOnce(&mut TreeBuilder)) {
    root.node(&format!("uart@{base:x}"), |node| {
        node.wide("reg", &[base.into(), 0x1000]);
        more(node);
    });
}

/// A machine of two UARTs with a `stdout-path`.
fn stdout(path: Option<&str>) -> Result<Option<Console>, MachineError> {
    let machine = with(|root| {
        uart(root, 0x1000, |node| {
            node.text("compatible", "ns16550a").cells("reg-shift", &[2]).cells("reg-io-width", &[4]);
        });
        uart(root, 0x2000, |node| {
            node.text("compatible", "arm,pl011");
        });
        uart(root, 0x3000, |node| {
            node.text("compatible", "arm,pl011").text("status", "disabled");
        });
        root.node("aliases", |aliases| {
            aliases.text("serial0", "/uart@2000").text("lost", "/nothing").bytes("broken", b"/uart@2000");
        });
        root.node("virtio", |_| ());
        root.node("chosen", |chosen| {
            if let Some(path) = path {
                chosen.text("stdout-path", path);
            }
        });
    });
    machine.map(|machine| machine.console)
}

#[test]
fn stdout_path() {
    let base = |path| stdout(path).map(|console| console.map(|c| c.region.base()));
    assert_eq!(base(None), Ok(Some(0x1000)));
    assert_eq!(base(Some("/uart@2000")), Ok(Some(0x2000)));
    assert_eq!(base(Some("/uart@2000:115200n8")), Ok(Some(0x2000)));
    assert_eq!(base(Some("serial0:9600")), Ok(Some(0x2000)));
    assert_eq!(base(Some("/uart@1000:x")), Ok(Some(0x1000)));
    assert_eq!(base(Some("/virtio")), Ok(None), "no driver for it");
    assert_eq!(base(Some("/uart@3000")), Ok(None), "disabled");
    for lost in ["", ":115200", "/nothing", "lost", "broken", "serial1", "serial0/x"] {
        assert_eq!(base(Some(lost)), Ok(Some(0x1000)), "{lost}: the first UART");
    }
    assert_eq!(stdout(None).unwrap().unwrap().uart, Uart::Ns16550 { reg_shift: 2, reg_io_width: 4 });
}

#[test]
fn uarts_are_checked() {
    let ns16550 = |property: &'static str, value: u32| {
        with(|root| {
            uart(root, 0x1000, |node| {
                node.text("compatible", "ns16550a").cells(property, &[value]);
            });
        })
        .map(|_| ())
    };
    assert_eq!(ns16550("reg-shift", 4), Ok(()));
    assert_eq!(ns16550("reg-shift", 5), Err(bad("ns16550a", "reg-shift")));
    assert_eq!(ns16550("reg-io-width", 3), Err(bad("ns16550a", "reg-io-width")));
    let small = with(|root| {
        root.node("uart", |node| {
            node.text("compatible", "ns16550a").cells("reg-shift", &[2]).wide("reg", &[0x1000, 28]);
        });
    });
    assert_eq!(small, Err(bad("ns16550a", "reg")));
}

#[test]
fn overlaps_are_refused() {
    let overlap = |compatible: &'static str, base: u64| {
        let machine = with(|root| {
            root.node("first", |node| {
                node.text("compatible", "arm,pl031").wide("reg", &[0x2000, 0x1000]);
            });
            root.node("second", |node| {
                node.text("compatible", compatible)
                    .cells("#address-cells", &[3])
                    .cells("#size-cells", &[2])
                    .flag("ranges")
                    .wide("reg", &[base, 0x10_0000]);
            });
        });
        match machine {
            Ok(_) => None,
            Err(MachineError::Overlap { first, second, .. }) => Some((first, second)),
            Err(other) => panic!("{other}"),
        }
    };
    for compatible in ["arm,pl011", "qemu,fw-cfg-mmio", "virtio,mmio", "pci-host-ecam-generic"] {
        assert_eq!(overlap(compatible, 0x10_0000), None, "{compatible}");
        let name = if compatible == "arm,pl011" { "stdout-path" } else { compatible };
        assert_eq!(overlap(compatible, 0x4fff_f000), Some(("/memory", name)), "{compatible}");
        assert_eq!(overlap(compatible, 0x3ff0_1000), Some((name, "/memory")), "{compatible}");
        assert_eq!(overlap(compatible, 0x2800), Some(("arm,pl031", name)), "{compatible}");
    }
}

/// A host bridge with these `bus-range` and `ranges`.
fn host(bus_range: Option<&[u32]>, ranges: &[u32]) -> Result<Machine, MachineError> {
    with(|root| {
        root.node("pcie", |node| {
            node.text("compatible", "pci-host-ecam-generic")
                .cells("#address-cells", &[3])
                .cells("#size-cells", &[2])
                .cells("ranges", ranges)
                .wide("reg", &[0x1000_0000, 0x40_0000]);
            if let Some(range) = bus_range {
                node.cells("bus-range", range);
            }
        });
    })
}

#[test]
fn bus_ranges() {
    let buses = |range| {
        let machine = host(range, &[]);
        machine.map(|machine| (machine.pcie[0].first_bus, machine.pcie[0].last_bus))
    };
    let wrong = Err(bad("pci-host-ecam-generic", "bus-range"));
    assert_eq!(buses(None), Ok((0, 3)));
    assert_eq!(buses(Some(&[0, 1])), Ok((0, 1)));
    assert_eq!(buses(Some(&[16, 19])), Ok((16, 19)));
    assert_eq!(buses(Some(&[0, 4])), wrong);
    assert_eq!(buses(Some(&[1, 0])), wrong);
    assert_eq!(buses(Some(&[255, 256])), wrong);
    assert_eq!(buses(Some(&[0])), wrong);
    assert_eq!(buses(Some(&[0, 1, 2])), wrong);
}

#[test]
fn windows_are_checked() {
    let window = |ranges: &[u32]| host(None, ranges).map(|machine| machine.pcie[0].windows.clone());
    let prefetchable = window(&[0x4300_0000, 1, 0, 1, 0, 1, 0]).unwrap();
    assert!(prefetchable[0].prefetchable);
    assert_eq!(prefetchable[0].space, WindowSpace::Memory64);
    assert_eq!(prefetchable[0].cpu, region(1 << 32, 1 << 32));
    assert_eq!(window(&[0x200_0000, 0, 0, 0, 0, 0, 0]), Ok(vec![]));
    let wrong = Err(bad("pci-host-ecam-generic", "ranges"));
    // Beyond 4 GiB, or wrapping, on the bus.
    assert_eq!(window(&[0x200_0000, 0, 0xffff_f000, 0, 0, 0, 0x2000]), wrong);
    assert_eq!(window(&[0x300_0000, 0xffff_ffff, 0xffff_f000, 0, 0, 0, 0x2000]), wrong);
    // Configuration space, and half an entry.
    assert_eq!(window(&[0, 0, 0, 0, 0, 0, 0x1000]), wrong);
    assert_eq!(window(&[0x200_0000, 0, 0, 0]), wrong);
    // Over RAM.
    assert!(matches!(window(&[0x200_0000, 0, 0, 0, 0x4000_0000, 0, 0x1000]), Err(MachineError::Overlap { .. })));
    let many = [0x200_0000, 0, 0, 0, 0, 0, 0x1000].repeat(17);
    assert_eq!(window(&many), Err(MachineError::TooMany("pci-host-ecam-generic ranges")));
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn reserved_memory() {
    let reserved = |reg: &[u64]| {
        with(|root| {
            root.node("reserved-memory", |parent| {
                parent.cells("#address-cells", &[2]).cells("#size-cells", &[2]).flag("ranges");
                parent.node("dynamic", |node| {
                    node.wide("size", &[0x1000]);
                });
                parent.node("off", |node| {
                    node.text("status", "disabled").wide("reg", &[0x4300_0000, 0x1000]);
                });
                parent.node("fixed", |node| {
                    node.wide("reg", reg);
                });
            });
        })
        .map(|machine| machine.reserved)
    };
    let regions = reserved(&[0x4200_0000, 0x800, 0x4100_0001, 1]).unwrap();
    let bases: Vec<_> = regions.iter().map(|r| r.region.base()).collect();
    assert_eq!(bases, [0x4100_0001, 0x4200_0000]);
    let wrong = Err(bad("/reserved-memory", "reg"));
    assert_eq!(reserved(&[0xffff_ffff_ffff_f000, 0x1001]), wrong);
    assert_eq!(reserved(&[0x4200_0000]), wrong);
    assert_eq!(reserved(&[1, 1].repeat(129)), Err(MachineError::TooMany("/reserved-memory")));

    let mut tree = machines::kvmtool();
    tree.reservations.push((u64::MAX, 2));
    assert_eq!(read(tree), Err(bad("/memreserve/", "address, size")));
}

#[test]
fn cpus() {
    let cpu = |cells: u32, regs: &[&[u32]]| {
        with(|root| {
            root.node("cpus", |cpus| {
                cpus.cells("#address-cells", &[cells]).cells("#size-cells", &[0]);
                for (index, reg) in regs.iter().enumerate() {
                    cpus.node(&format!("cpu@{index}"), |node| {
                        node.text("device_type", "cpu").cells("reg", reg);
                        if index == 1 {
                            node.text("status", "disabled");
                        }
                    });
                }
            });
        })
        .map(|machine| {
            let cpus = machine.cpus.iter();
            cpus.map(|cpu| (cpu.mpidr, cpu.enabled)).collect::<Vec<_>>()
        })
    };
    assert_eq!(cpu(1, &[&[0x100], &[0x101]]), Ok(vec![(0x100, true), (0x101, false)]));
    assert_eq!(cpu(2, &[&[0xff, 0xff_ffff]]), Ok(vec![(0xff_00ff_ffff, true)]));
    let wrong = Err(bad("/cpus", "reg"));
    assert_eq!(cpu(1, &[&[0x8000_0000]]), wrong, "not an affinity");
    assert_eq!(cpu(1, &[&[1], &[1]]), wrong, "twice the same");
    assert_eq!(cpu(1, &[&[1, 2]]), wrong);
    assert_eq!(cpu(2, &[&[1]]), wrong);
    assert_eq!(cpu(0, &[&[]]), wrong);
}

#[test]
fn psci() {
    let psci = |compatible: &'static [u8], method: &'static str| {
        with(|root| {
            root.node("psci", |node| {
                node.bytes("compatible", compatible).text("method", method);
            });
        })
        .map(|machine| machine.psci)
    };
    assert_eq!(psci(b"arm,psci-0.2\0", "smc"), Ok(Some(Conduit::Smc)));
    assert_eq!(psci(b"arm,psci\0", "smc"), Ok(None));
    assert_eq!(psci(b"arm,psci-1.0\0", "svc"), Err(bad("/psci", "method")));
}

#[test]
fn gic_regions_are_counted() {
    let gic = |count: u32, reg: &[u64]| {
        with(|root| {
            root.node("intc", |node| {
                node.text("compatible", "arm,gic-v3").cells("#redistributor-regions", &[count]).wide("reg", reg);
            });
        })
        .map(|machine| machine.gic.unwrap().regions().count())
    };
    assert_eq!(gic(2, &[0, 0x1000, 0x1000, 0x1000, 0x2000, 0x1000]), Ok(3));
    assert_eq!(gic(2, &[0, 0x1000, 0x1000, 0x1000]), Err(bad("arm,gic-v3", "reg")));
    assert_eq!(gic(0, &[0, 0x1000]), Err(bad("arm,gic-v3", "#redistributor-regions")));
    assert_eq!(gic(u32::MAX, &[0, 0x1000]), Err(bad("arm,gic-v3", "#redistributor-regions")));
}
