#![expect(clippy::single_range_in_vec_init, reason = "a list of one region")]

use super::*;

fn node(name: &str, properties: &[(&str, &[u8])]) -> Node {
    Node {
        name: name.to_string(),
        properties: properties.iter().map(|(k, v)| (k.to_string(), v.to_vec())).collect(),
        children: vec![],
    }
}

fn qemu() -> Node {
    let mut root = node("", &[("compatible", b"linux,dummy-virt\0")]);
    let gic = [reg(&(0x800_0000..0x801_0000)), reg(&(0x80a_0000..0x900_0000))].concat();
    let mut intc = node("intc@8000000", &[("compatible", b"arm,gic-v3\0"), ("reg", &gic), ("interrupts", &[0; 12])]);
    intc.children.push(node("its@8080000", &[]));
    let mut cpus = node("cpus", &[]);
    for name in ["cpu@0", "cpu@1"] {
        cpus.children.push(node(name, &[("device_type", b"cpu\0")]));
    }
    let mut ranges = Vec::from([0x02, 0, 0, 0]);
    ranges.extend([0; 8]);
    ranges.extend(reg(&(0x1000_0000..0x3eff_0000)));
    ranges.extend([3, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0]);
    ranges.extend(reg(&(0x80_0000_0000..0x100_0000_0000)));
    let memory = reg(&(0x4000_0000..0x2_4000_0000));
    root.children = vec![
        node("memory@40000000", &[("device_type", b"memory\0"), ("reg", &memory)]),
        cpus,
        intc,
        node("flash@0", &[("compatible", b"cfi-flash\0"), ("reg", &reg(&(0..0x800_0000)))]),
        node(
            "pl011@9000000",
            &[("compatible", b"arm,pl011\0arm,primecell\0"), ("reg", &reg(&(0x900_0000..0x900_1000)))],
        ),
        node("fw-cfg@9020000", &[("compatible", b"qemu,fw-cfg-mmio\0"), ("reg", &reg(&(0x902_0000..0x902_0018)))]),
        node(
            "pcie@10000000",
            &[
                ("compatible", b"pci-host-ecam-generic\0"),
                ("ranges", &ranges),
                ("reg", &reg(&(0x40_1000_0000..0x40_2000_0000))),
            ],
        ),
        node("chosen", &[("rng-seed", &[1; 32]), ("stdout-path", b"/pl011@9000000\0")]),
    ];
    root
}

fn edit() -> Edit<'static> {
    Edit {
        ram: 0x4000_0000..0x6000_0000,
        half: 1 << 32,
        fw_cfg: true,
        pmu: false,
        bootargs: Some("quiet"),
        initrd: Some(0x4800_0000..0x4900_0000),
        lie: None,
    }
}

#[test]
fn blobs_come_back_as_they_went() {
    let tree = qemu();
    assert_eq!(Node::parse(&tree.to_blob()), Ok(tree));
}

#[test]
fn damaged_blobs_are_refused_or_read_but_never_worse() {
    let blob = qemu().to_blob();
    for at in 0..blob.len() {
        for value in [0, 1, 0xff] {
            let mut damaged = blob.clone();
            damaged[at] = value;
            let _ = Node::parse(&damaged);
        }
        assert!(Node::parse(&blob[..at]).is_err());
    }
}

#[test]
fn reads_the_machine() {
    let machine = Machine::from_tree(&qemu(), 1 << 32).unwrap();
    assert_eq!((machine.ram_end, machine.cpus), (0x2_4000_0000, 2));
    assert_eq!(machine.distributor, 0x800_0000..0x801_0000);
    assert_eq!(machine.fw_cfg, Some(0x902_0000..0x902_0018));
    let windows: Vec<_> = machine.mmio.iter().map(|window| window.ipa.clone()).collect();
    assert!(windows.contains(&(0x1000_0000..0x3eff_0000)));
    assert!(windows.contains(&(0x3f00_0000..0x4000_0000)));
    let ecam = machine.mmio.iter().find_map(|window| window.translate(0x3f00_1000));
    assert_eq!(ecam, Some(0x40_1000_1000));
    assert!(machine.ecam.contains(&0x40_1000_1000) && machine.ecam.start == 0x40_1000_0000);
    assert!(!windows.iter().any(|range| range.start == 0));
}

#[test]
fn makes_the_realms_tree() {
    let blob = realm_tree(&mut qemu(), &edit());
    let tree = Node::parse(&blob).unwrap();
    let names: Vec<_> = tree.children.iter().map(|child| child.name.as_str()).collect();
    assert!(!names.contains(&"flash@0"));
    assert!(names.contains(&"fw-cfg@9020000"));
    let memory = tree.children.iter().filter(|child| child.is_type("memory"));
    let regions: Vec<_> = memory.flat_map(Node::regions).collect();
    assert_eq!(regions, [0x4000_0000..0x6000_0000]);
    let chosen = tree.children.iter().find(|child| child.name == "chosen").unwrap();
    assert_eq!(chosen.property("rng-seed"), None);
    assert_eq!(chosen.property("bootargs"), Some(&b"quiet\0"[..]));
    assert_eq!(chosen.property("linux,initrd-start"), Some(&0x4800_0000_u64.to_be_bytes()[..]));
    let pcie = tree.children.iter().find(|child| child.name.starts_with("pcie")).unwrap();
    assert_eq!(pcie.regions(), [0x3f00_0000..0x4000_0000]);
    assert_eq!(pcie.property("ranges").unwrap().len(), 28);
    assert_eq!(pcie.property("bus-range"), Some(&[0, 0, 0, 0, 0, 0, 0, 15][..]));
    let intc = tree.children.iter().find(|child| child.name.starts_with("intc")).unwrap();
    assert!(intc.property("interrupts").is_none() && intc.children.is_empty());
}

#[test]
fn lies_are_told() {
    let tree = |lie| {
        let edit = Edit { lie: Some(lie), ..edit() };
        realm_tree(&mut qemu(), &edit)
    };
    assert_eq!(Node::parse(&tree(DtbLie::Size)), Err(InvalidTree));
    let regions = |blob: &[u8]| -> Vec<_> {
        let root = Node::parse(blob).unwrap();
        let memory = root.children.iter().filter(|child| child.is_type("memory"));
        memory.flat_map(Node::regions).collect()
    };
    assert_eq!(regions(&tree(DtbLie::Memory)), [0x4000_0000..0x8000_0000]);
    assert_eq!(regions(&tree(DtbLie::Overlap)), [0x4000_0000..0x6000_0000, 0x5000_0000..0x6000_0000]);
    let root = Node::parse(&tree(DtbLie::Uart)).unwrap();
    let uart = root.children.iter().find(|child| child.is_compatible("arm,pl011")).unwrap();
    assert_eq!(uart.regions(), [0x4100_0000..0x4100_1000]);
}

#[test]
fn fw_cfg_goes_when_the_vmm_has_none() {
    let edit = Edit { fw_cfg: false, ..edit() };
    let tree = Node::parse(&realm_tree(&mut qemu(), &edit)).unwrap();
    assert!(!tree.children.iter().any(|child| child.name.starts_with("fw-cfg")));
}

#[test]
fn the_pl011_is_moved_in_tree_and_machine() {
    let mut root = qemu();
    let mut machine = Machine::from_tree(&root, 1 << 32).unwrap();
    machine.move_pl011(&mut root, 0xb00_0000);
    let translate = |ipa| machine.mmio.iter().find_map(|window| window.translate(ipa));
    assert_eq!([translate(0xb00_0018), translate(0x900_0018)], [Some(0x900_0018), None]);
    let uart = root.children.iter().find(|child| child.is_compatible("arm,pl011")).unwrap();
    assert_eq!(uart.regions(), [0xb00_0000..0xb00_1000]);
    assert_eq!(root.child("chosen").property("stdout-path"), Some(&b"/pl011@b000000\0"[..]));
}
