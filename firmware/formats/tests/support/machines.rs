//! The device trees of the VMMs, with what the firmware reads of them and some of what it must
//! pass over. The shapes are those the VMMs themselves give out.

use super::tree::TreeBuilder;

pub fn root_cells(tree: &mut TreeBuilder) {
    tree.cells("#address-cells", &[2]).cells("#size-cells", &[2]).cells("interrupt-parent", &[1]);
}

pub fn memory(tree: &mut TreeBuilder, base: u64, size: u64) {
    tree.node(&format!("memory@{base:x}"), |node| {
        node.text("device_type", "memory").wide("reg", &[base, size]);
    });
}

pub fn cpus(tree: &mut TreeBuilder, count: u32) {
    tree.node("cpus", |cpus| {
        cpus.cells("#address-cells", &[1]).cells("#size-cells", &[0]);
        for cpu in 0..count {
            cpus.node(&format!("cpu@{cpu:x}"), |node| {
                node.text("device_type", "cpu")
                    .text("compatible", "arm,cortex-a57")
                    .text("enable-method", "psci")
                    .cells("reg", &[cpu]);
            });
        }
        cpus.node("cpu-map", |map| {
            map.node("socket0", |socket| {
                socket.node("cluster0", |cluster| {
                    cluster.node("core0", |core| {
                        core.cells("cpu", &[2]);
                    });
                });
            });
        });
    });
}

pub fn psci(tree: &mut TreeBuilder, method: &str) {
    tree.node("psci", |node| {
        node.bytes("compatible", b"arm,psci-1.0\0arm,psci-0.2\0arm,psci\0")
            .text("method", method)
            .cells("cpu_on", &[0xc400_0003]);
    });
}

pub fn gic_v3(tree: &mut TreeBuilder, distributor: u64, redistributors: [u64; 2]) {
    tree.node(&format!("intc@{distributor:x}"), |node| {
        node.text("compatible", "arm,gic-v3")
            .flag("interrupt-controller")
            .flag("ranges")
            .cells("#interrupt-cells", &[3])
            .cells("#address-cells", &[2])
            .cells("#size-cells", &[2])
            .cells("#redistributor-regions", &[1])
            .cells("phandle", &[1])
            .wide("reg", &[distributor, 0x1_0000, redistributors[0], redistributors[1]]);
        node.node("its@8080000", |its| {
            its.text("compatible", "arm,gic-v3-its").flag("msi-controller").wide("reg", &[0x808_0000, 0x2_0000]);
        });
    });
}

pub fn gic_v2(tree: &mut TreeBuilder, distributor: u64, cpu_interface: u64) {
    tree.node(&format!("intc@{distributor:x}"), |node| {
        node.text("compatible", "arm,cortex-a15-gic")
            .flag("interrupt-controller")
            .cells("#interrupt-cells", &[3])
            .cells("phandle", &[1])
            .wide("reg", &[distributor, 0x1_0000, cpu_interface, 0x1_0000]);
    });
}

pub fn virtio_mmio(tree: &mut TreeBuilder, base: u64, spi: u32) {
    tree.node(&format!("virtio_mmio@{base:x}"), |node| {
        node.text("compatible", "virtio,mmio")
            .flag("dma-coherent")
            .cells("interrupts", &[0, spi, 1])
            .wide("reg", &[base, 0x200]);
    });
}

/// What varies among QEMU's `virt` machines.
pub struct Qemu {
    pub gic_v2: bool,
    pub highmem: bool,
    pub banks: Vec<(u64, u64)>,
    pub cpus: u32,
    pub transports: u32,
}

impl Default for Qemu {
    fn default() -> Self {
        Self { gic_v2: false, highmem: true, banks: vec![(0x4000_0000, 0x2000_0000)], cpus: 4, transports: 32 }
    }
}

/// QEMU 7.2, `-M virt`.
pub fn qemu(options: &Qemu) -> TreeBuilder {
    let mut tree = TreeBuilder::new(|root| {
        root_cells(root);
        root.text("model", "linux,dummy-virt").text("compatible", "linux,dummy-virt");
        psci(root, "hvc");
        for (base, size) in &options.banks {
            memory(root, *base, *size);
        }
        root.node("platform-bus@c000000", |node| {
            node.bytes("compatible", b"qemu,platform\0simple-bus\0")
                .cells("#address-cells", &[1])
                .cells("#size-cells", &[1])
                .cells("ranges", &[0, 0, 0xc00_0000, 0x200_0000]);
        });
        root.node("fw-cfg@9020000", |node| {
            node.flag("dma-coherent").wide("reg", &[0x902_0000, 0x18]).text("compatible", "qemu,fw-cfg-mmio");
        });
        for index in 0..options.transports {
            virtio_mmio(root, 0xa00_0000 + u64::from(index) * 0x200, 0x10 + index);
        }
        qemu_pcie(root, options.highmem);
        root.node("pl031@9010000", |node| {
            node.bytes("compatible", b"arm,pl031\0arm,primecell\0").wide("reg", &[0x901_0000, 0x1000]);
        });
        root.node("pl011@9000000", |node| {
            node.bytes("compatible", b"arm,pl011\0arm,primecell\0")
                .wide("reg", &[0x900_0000, 0x1000])
                .cells("clocks", &[0x8000, 0x8000]);
        });
        if options.gic_v2 {
            gic_v2(root, 0x800_0000, 0x801_0000);
        } else {
            gic_v3(root, 0x800_0000, [0x80a_0000, 0xf6_0000]);
        }
        root.node("flash@0", |node| {
            node.text("compatible", "cfi-flash").wide("reg", &[0, 0x400_0000, 0x400_0000, 0x400_0000]);
        });
        cpus(root, options.cpus);
        root.node("timer", |node| {
            node.text("compatible", "arm,armv8-timer").cells("interrupts", &[1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4]);
        });
        root.node("chosen", |node| {
            node.text("stdout-path", "/pl011@9000000")
                .bytes("rng-seed", &[0xa5; 32])
                .wide("kaslr-seed", &[0x1234_5678_9abc_def0]);
        });
    });
    tree.reservations.clear();
    tree
}

fn qemu_pcie(root: &mut TreeBuilder, highmem: bool) {
    let mut ranges = vec![
        0x100_0000,
        0,
        0,
        0,
        0x3eff_0000,
        0,
        0x1_0000, //
        0x200_0000,
        0,
        0x1000_0000,
        0,
        0x1000_0000,
        0,
        0x2eff_0000,
    ];
    let (ecam, last_bus) = if highmem {
        ranges.extend([0x300_0000, 0x80, 0, 0x80, 0, 0x80, 0]);
        ([0x40_1000_0000, 0x1000_0000], 0xff)
    } else {
        ([0x3f00_0000, 0x100_0000], 0xf)
    };
    root.node("pcie@10000000", |node| {
        node.text("compatible", "pci-host-ecam-generic")
            .text("device_type", "pci")
            .flag("dma-coherent")
            .cells("#address-cells", &[3])
            .cells("#size-cells", &[2])
            .cells("#interrupt-cells", &[1])
            .cells("bus-range", &[0, last_bus])
            .cells("ranges", &ranges)
            .wide("reg", &ecam);
    });
}

/// kvmtool: everything as it is written by its arm64 port with virtio-pci.
pub fn kvmtool() -> TreeBuilder {
    TreeBuilder::new(|root| {
        root_cells(root);
        root.text("compatible", "linux,dummy-virt");
        root.node("chosen", |node| {
            node.cells("linux,pci-probe-only", &[1])
                .text("bootargs", "console=ttyS0 root=/dev/vda1")
                .wide("kaslr-seed", &[0x0102_0304_0506_0708])
                .text("stdout-path", "serial0")
                .wide("linux,initrd-start", &[0x8800_0000])
                .wide("linux,initrd-end", &[0x8900_0000]);
        });
        memory(root, 0x8000_0000, 0x2000_0000);
        cpus(root, 2);
        gic_v3(root, 0x3fff_0000, [0x3ffb_0000, 0x4_0000]);
        root.node("timer", |node| {
            node.text("compatible", "arm,armv8-timer");
        });
        root.node("U6_16550A@1000000", |node| {
            node.text("compatible", "ns16550a")
                .wide("reg", &[0x100_0000, 8])
                .cells("clock-frequency", &[1_843_200])
                .cells("interrupts", &[0, 0, 4]);
        });
        root.node("rtc@1010000", |node| {
            node.text("compatible", "motorola,mc146818").wide("reg", &[0x101_0000, 2]);
        });
        root.node("pci", |node| {
            node.text("device_type", "pci")
                .text("compatible", "pci-host-ecam-generic")
                .flag("dma-coherent")
                .cells("#address-cells", &[3])
                .cells("#size-cells", &[2])
                .cells("#interrupt-cells", &[1])
                .cells("bus-range", &[0, 0])
                .cells(
                    "ranges",
                    &[
                        0x100_0000,
                        0,
                        0,
                        0,
                        0,
                        0,
                        0x1_0000, //
                        0x200_0000,
                        0,
                        0x5000_0000,
                        0,
                        0x5000_0000,
                        0,
                        0x3000_0000,
                    ],
                )
                .wide("reg", &[0x4000_0000, 0x1000_0000]);
        });
        root.node("psci", |node| {
            node.bytes("compatible", b"arm,psci-0.2\0arm,psci\0").text("method", "smc");
        });
        root.node("aliases", |node| {
            node.text("serial0", "/U6_16550A@1000000");
        });
    })
}

/// cloud-hypervisor: PL011, 64-bit window above RAM, fw_cfg opted in.
pub fn cloud_hypervisor() -> TreeBuilder {
    TreeBuilder::new(|root| {
        root_cells(root);
        root.text("compatible", "linux,dummy-virt");
        cpus(root, 2);
        memory(root, 0x4000_0000, 0x4000_0000);
        root.node("chosen", |node| {
            node.text("bootargs", "console=ttyAMA0").text("stdout-path", "/pl011@9000000");
        });
        gic_v3(root, 0x8ff_0000, [0x8fb_0000, 0x4_0000]);
        psci(root, "hvc");
        root.node("pl011@9000000", |node| {
            node.bytes("compatible", b"arm,pl011\0arm,primecell\0").wide("reg", &[0x900_0000, 0x1000]);
        });
        root.node("rtc@9010000", |node| {
            node.bytes("compatible", b"arm,pl031\0arm,primecell\0").wide("reg", &[0x901_0000, 0x1000]);
        });
        root.node("fw-cfg@9030000", |node| {
            node.text("compatible", "qemu,fw-cfg-mmio").flag("dma-coherent").wide("reg", &[0x903_0000, 0x18]);
        });
        root.node("pci@30000000", |node| {
            node.text("compatible", "pci-host-ecam-generic")
                .text("device_type", "pci")
                .flag("dma-coherent")
                .cells("#address-cells", &[3])
                .cells("#size-cells", &[2])
                .cells("bus-range", &[0, 0])
                .cells(
                    "ranges",
                    &[
                        0x200_0000,
                        0,
                        0x1000_0000,
                        0,
                        0x1000_0000,
                        0,
                        0x2000_0000, //
                        0x300_0000,
                        1,
                        0,
                        1,
                        0,
                        0xff,
                        0,
                    ],
                )
                .wide("reg", &[0x3000_0000, 0x10_0000]);
        });
    })
}

/// crosvm: 16550s in what was the I/O port range, CAM instead of ECAM, reserved memory.
pub fn crosvm() -> TreeBuilder {
    let mut tree = TreeBuilder::new(|root| {
        root_cells(root);
        root.text("compatible", "linux,dummy-virt");
        root.node("chosen", |node| {
            node.text("stdout-path", "/U6_16550A@3f8").wide("kaslr-seed", &[7]);
        });
        memory(root, 0x8000_0000, 0x4000_0000);
        root.node("reserved-memory", |node| {
            node.cells("#address-cells", &[2]).cells("#size-cells", &[2]).flag("ranges");
            node.node("restricted_dma_reserved", |pool| {
                pool.text("compatible", "restricted-dma-pool").wide("size", &[0x100_0000]).wide("alignment", &[0x1000]);
            });
            node.node("pstore@bfff0000", |pstore| {
                pstore.flag("no-map").wide("reg", &[0xbfff_0000, 0x1_0000]);
            });
        });
        cpus(root, 1);
        gic_v3(root, 0x3fff_0000, [0x3ffd_0000, 0x2_0000]);
        for base in [0x3f8u64, 0x2f8] {
            root.node(&format!("U6_16550A@{base:x}"), |node| {
                node.text("compatible", "ns16550a").wide("reg", &[base, 8]).cells("clock-frequency", &[1_843_200]);
            });
        }
        root.node("psci", |node| {
            node.bytes("compatible", b"arm,psci-1.0\0arm,psci-0.2\0").text("method", "hvc");
        });
        root.node("pci", |node| {
            node.text("compatible", "pci-host-cam-generic")
                .cells("#address-cells", &[3])
                .cells("#size-cells", &[2])
                .cells("ranges", &[0x300_0000, 0, 0x200_0000, 0, 0x200_0000, 0, 0x200_0000])
                .wide("reg", &[0x1_0000, 0x100_0000]);
        });
    });
    tree.reservations.push((0x8000_0000, 0x1_0000));
    tree
}

/// Machines of memory alone, without and with reserved parts and something like an event log.
pub fn for_event_logs() -> Vec<Vec<u8>> {
    let machine = |more: fn(&mut TreeBuilder)| {
        TreeBuilder::new(|root| {
            root.cells("#address-cells", &[2]).cells("#size-cells", &[2]);
            memory(root, 0x4000_0000, 0x4000_0000);
            more(root);
        })
        .finish(0)
    };
    vec![
        machine(|_| ()),
        machine(|root| {
            root.node("reserved-memory", |node| {
                node.cells("#address-cells", &[2]).cells("#size-cells", &[2]).flag("ranges");
                node.node("event-lof@480000000", |log| {
                    // One bit each from the string that is looked for.
                    let near = b"cc-event-lof\0cc-event-loe\0cc-event-loc\0cc-event-dog\0bc-event-log\0cc-event-nog\0";
                    // No `reg`: so `ranges` matters to the event log alone.
                    log.bytes("compatible", near).wide("size", &[0x1000]);
                });
            });
        }),
    ]
}

/// All shapes, as blobs.
pub fn all() -> Vec<Vec<u8>> {
    vec![
        qemu(&Qemu::default()).finish(0),
        qemu(&Qemu {
            gic_v2: true,
            highmem: false,
            banks: vec![(0x8000_0000, 0x4000_0000), (0x4000_0000, 0x4000_0000)],
            cpus: 1,
            transports: 2,
        })
        .finish(64),
        kvmtool().finish(0),
        cloud_hypervisor().finish(0),
        crosvm().finish(0),
    ]
}
