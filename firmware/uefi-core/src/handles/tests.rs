use super::*;

use core::ptr;

use r_efi::efi::{
    OPEN_PROTOCOL_BY_CHILD_CONTROLLER as BY_CHILD, OPEN_PROTOCOL_BY_DRIVER as BY_DRIVER,
    OPEN_PROTOCOL_BY_HANDLE_PROTOCOL as BY_HANDLE, OPEN_PROTOCOL_EXCLUSIVE as EXCLUSIVE,
    OPEN_PROTOCOL_GET_PROTOCOL as GET, OPEN_PROTOCOL_TEST_PROTOCOL as TEST,
};

const A: Guid = Guid::from_fields(0xA, 0, 0, 0, 0, &[0; 6]);
const B: Guid = Guid::from_fields(0xB, 0, 0, 0, 0, &[0; 6]);
const NONE: Handle = Handle::from_raw(0);

fn interface(number: usize) -> *mut c_void {
    ptr::without_provenance_mut(number)
}

struct Scene {
    db: HandleDatabase,
    controller: Handle,
    driver: Handle,
    rival: Handle,
    child: Handle,
}

/// A controller with protocol A (interface 1), two drivers and a child.
fn scene() -> Scene {
    let mut db = HandleDatabase::new();
    let controller = db.install(None, &A, interface(1)).unwrap();
    let [driver, rival, child] = [2, 3, 4].map(|n| db.install(None, &B, interface(n)).unwrap());
    Scene { db, controller, driver, rival, child }
}

impl Scene {
    fn open(&mut self, agent: Handle, attributes: u32) -> Result<Opened, HandleError> {
        let request = OpenRequest { agent: Some(agent), controller: Some(self.controller), attributes };
        self.db.open(self.controller, &A, request)
    }

    fn openers(&self) -> Vec<(Handle, u32, u32)> {
        let records = self.db.openers(self.controller, &A).unwrap();
        records.iter().map(|r| (r.agent, r.attributes, r.count)).collect()
    }
}

const GRANTED: Result<Opened, HandleError> = Ok(Opened::Granted(ptr::without_provenance_mut(1)));
const DENIED: Result<Opened, HandleError> = Err(HandleError::AccessDenied);

#[test]
fn protocols_are_found_until_they_are_removed() {
    let mut db = HandleDatabase::new();
    let handle = db.install(None, &A, interface(1)).unwrap();
    assert_eq!(db.install(Some(handle), &B, interface(2)), Ok(handle));
    assert_eq!(db.interface(handle, &A), Ok(interface(1)));
    assert_eq!(db.interface(handle, &B), Ok(interface(2)));
    assert_eq!(db.protocols(handle).unwrap().collect::<Vec<_>>(), [&A, &B]);
    assert_eq!(db.uninstall(handle, &A, interface(1)), Ok(Removal::Done));
    assert_eq!(db.interface(handle, &A), Err(HandleError::Unsupported));
    assert!(db.contains(handle));
    assert_eq!(db.uninstall(handle, &B, interface(2)), Ok(Removal::Done));
    assert!(!db.contains(handle), "gone with its last protocol");
    assert_eq!(db.interface(handle, &B), Err(HandleError::Invalid));
}

#[test]
fn a_null_interface_is_an_interface() {
    let mut db = HandleDatabase::new();
    let handle = db.install(None, &A, ptr::null_mut()).unwrap();
    assert_eq!(db.interface(handle, &A), Ok(ptr::null_mut()));
    assert_eq!(db.uninstall(handle, &A, ptr::null_mut()), Ok(Removal::Done));
}

#[test]
fn wrong_handles_and_interfaces_are_refused() {
    let mut db = HandleDatabase::new();
    let handle = db.install(None, &A, interface(1)).unwrap();
    assert_eq!(db.install(Some(handle), &A, interface(2)), Err(HandleError::AlreadyInstalled));
    assert_eq!(db.install(Some(NONE), &A, interface(2)), Err(HandleError::Invalid));
    assert_eq!(db.uninstall(handle, &A, interface(2)), Err(HandleError::NotFound));
    assert_eq!(db.uninstall(handle, &B, interface(1)), Err(HandleError::NotFound));
    assert_eq!(db.uninstall(NONE, &A, interface(1)), Err(HandleError::Invalid));
    assert_eq!(db.reinstall(handle, &A, interface(2), interface(3)), Err(HandleError::NotFound));
    assert!(db.protocols(NONE).is_err());
    db.uninstall(handle, &A, interface(1)).unwrap();
    let reused = db.install(None, &A, interface(5)).unwrap();
    assert_ne!(reused, handle);
    assert_eq!(db.interface(handle, &A), Err(HandleError::Invalid), "a stale handle");
}

#[test]
fn searches_follow_the_order_of_installation() {
    let mut db = HandleDatabase::new();
    let first = db.install(None, &A, interface(1)).unwrap();
    let second = db.install(None, &B, interface(2)).unwrap();
    let third = db.install(None, &A, interface(3)).unwrap();
    db.install(Some(second), &A, interface(4)).unwrap();
    assert_eq!(db.all().unwrap(), [first, second, third]);
    assert_eq!(db.by_protocol(&A).unwrap(), [first, third, second]);
    assert_eq!(db.first(&A), Some((first, interface(1))));
    db.uninstall(first, &A, interface(1)).unwrap();
    let fourth = db.install(None, &B, interface(5)).unwrap();
    assert_eq!(db.all().unwrap(), [second, third, fourth], "a reused slot is not older");
    assert_eq!(db.first(&A), Some((third, interface(3))));
    assert_eq!(db.by_protocol(&B).unwrap(), [second, fourth]);
    assert_eq!(db.first(&Guid::from_fields(9, 0, 0, 0, 0, &[0; 6])), None);
}

#[test]
fn readers_never_conflict() {
    let mut s = scene();
    s.open(s.driver, BY_DRIVER | EXCLUSIVE).unwrap();
    for attributes in [BY_HANDLE, GET, TEST] {
        assert_eq!(s.open(s.rival, attributes), GRANTED);
        assert_eq!(s.open(s.rival, attributes), GRANTED);
    }
    let counts = [(s.driver, BY_DRIVER | EXCLUSIVE, 1), (s.rival, BY_HANDLE, 2), (s.rival, GET, 2), (s.rival, TEST, 2)];
    assert_eq!(s.openers(), counts);
}

#[test]
fn readers_without_an_agent_leave_no_trace() {
    let mut s = scene();
    for agent in [None, Some(NONE)] {
        let request = OpenRequest { agent, controller: None, attributes: GET };
        assert_eq!(s.db.open(s.controller, &A, request), GRANTED);
    }
    assert_eq!(s.openers(), []);
}

#[test]
fn one_driver_at_a_time() {
    let mut s = scene();
    assert_eq!(s.open(s.driver, BY_DRIVER), GRANTED);
    assert_eq!(s.open(s.driver, BY_DRIVER), Err(HandleError::AlreadyStarted));
    assert_eq!(s.open(s.rival, BY_DRIVER), DENIED);
    assert_eq!(s.openers(), [(s.driver, BY_DRIVER, 1)]);
}

#[test]
fn exclusive_use_excludes_drivers() {
    for holder in [EXCLUSIVE, BY_DRIVER | EXCLUSIVE] {
        let mut s = scene();
        s.open(s.driver, holder).unwrap();
        for attributes in [BY_DRIVER, EXCLUSIVE, BY_DRIVER | EXCLUSIVE] {
            assert_eq!(s.open(s.rival, attributes), DENIED, "{holder:#x} {attributes:#x}");
        }
        assert_eq!(s.open(s.rival, BY_CHILD), Err(HandleError::Invalid), "the controller is no child of its own");
    }
    let mut s = scene();
    s.open(s.driver, BY_DRIVER | EXCLUSIVE).unwrap();
    assert_eq!(s.open(s.driver, BY_DRIVER | EXCLUSIVE), Err(HandleError::AlreadyStarted));
    assert_eq!(s.open(s.driver, BY_DRIVER), DENIED);
    let mut s = scene();
    s.open(s.driver, EXCLUSIVE).unwrap();
    assert_eq!(s.open(s.driver, EXCLUSIVE), DENIED);
}

#[test]
fn exclusive_use_has_the_driver_disconnected_first() {
    for attributes in [EXCLUSIVE, BY_DRIVER | EXCLUSIVE] {
        let mut s = scene();
        s.open(s.driver, BY_DRIVER).unwrap();
        assert_eq!(s.open(s.rival, attributes), Ok(Opened::DisconnectFirst(s.driver)));
        assert_eq!(s.openers(), [(s.driver, BY_DRIVER, 1)], "nothing changed");
        s.db.close(s.controller, &A, s.driver, Some(s.controller)).unwrap();
        assert_eq!(s.open(s.rival, attributes), GRANTED);
    }
}

#[test]
fn each_way_of_opening_needs_its_handles() {
    let mut s = scene();
    let mut open =
        |agent, controller, attributes| s.db.open(s.controller, &A, OpenRequest { agent, controller, attributes });
    let (driver, child) = (Some(s.driver), Some(s.child));
    let invalid = Err(HandleError::Invalid);
    for attributes in [BY_CHILD, BY_DRIVER, BY_DRIVER | EXCLUSIVE] {
        assert_eq!(open(None, child, attributes), invalid);
        assert_eq!(open(driver, None, attributes), invalid);
        assert_eq!(open(Some(NONE), child, attributes), invalid);
        assert_eq!(open(driver, Some(NONE), attributes), invalid);
    }
    assert_eq!(open(None, child, EXCLUSIVE), invalid);
    assert_eq!(open(driver, Some(s.controller), BY_CHILD), invalid);
    for attributes in [0, GET | TEST, BY_DRIVER | BY_CHILD, 0x40, u32::MAX] {
        assert_eq!(open(driver, child, attributes), invalid, "{attributes:#x}");
    }
    assert_eq!(open(driver, child, BY_CHILD), GRANTED);
    assert_eq!(open(driver, None, EXCLUSIVE), GRANTED);
    let get = OpenRequest { agent: None, controller: None, attributes: GET };
    assert_eq!(s.db.open(s.controller, &B, get), Err(HandleError::Unsupported));
    assert_eq!(s.db.open(NONE, &A, get), Err(HandleError::Invalid));
}

#[test]
fn closing_forgets_all_ways_of_an_agent() {
    let mut s = scene();
    s.open(s.driver, BY_DRIVER).unwrap();
    s.open(s.driver, GET).unwrap();
    s.open(s.rival, GET).unwrap();
    assert_eq!(s.db.close(s.controller, &A, s.driver, None), Err(HandleError::NotFound));
    assert_eq!(s.db.close(s.controller, &A, s.driver, Some(s.controller)), Ok(()));
    assert_eq!(s.openers(), [(s.rival, GET, 1)]);
    assert_eq!(s.db.close(s.controller, &A, s.driver, Some(s.controller)), Err(HandleError::NotFound));
    assert_eq!(s.db.close(s.controller, &B, s.driver, None), Err(HandleError::NotFound));
    assert_eq!(s.db.close(s.controller, &A, NONE, None), Err(HandleError::Invalid));
    assert_eq!(s.db.close(s.controller, &A, s.driver, Some(NONE)), Err(HandleError::Invalid));
    assert_eq!(s.db.close(NONE, &A, s.driver, None), Err(HandleError::Invalid));
    s.db.close_agent(s.rival);
    assert_eq!(s.openers(), []);
}

#[test]
fn removal_waits_for_drivers_and_is_denied_by_others() {
    let mut s = scene();
    s.open(s.driver, BY_DRIVER).unwrap();
    s.open(s.rival, GET).unwrap();
    let remove = |s: &mut Scene| s.db.uninstall(s.controller, &A, interface(1));
    let replace = |s: &mut Scene| s.db.reinstall(s.controller, &A, interface(1), interface(9));
    assert_eq!(remove(&mut s), Ok(Removal::DisconnectFirst(s.driver)));
    assert_eq!(replace(&mut s), Ok(Removal::DisconnectFirst(s.driver)));
    s.db.close_agent(s.driver);
    s.open(s.driver, EXCLUSIVE).unwrap();
    assert_eq!(remove(&mut s), Err(HandleError::AccessDenied));
    assert_eq!(replace(&mut s), Err(HandleError::AccessDenied));
    s.db.close_agent(s.driver);
    let request = OpenRequest { agent: Some(s.driver), controller: Some(s.child), attributes: BY_CHILD };
    s.db.open(s.controller, &A, request).unwrap();
    assert_eq!(remove(&mut s), Err(HandleError::AccessDenied));
    s.db.close_agent(s.driver);
    assert_eq!(replace(&mut s), Ok(Removal::Done), "readers do not hold it");
    assert_eq!(s.db.interface(s.controller, &A), Ok(interface(9)));
    assert_eq!(s.openers(), []);
    assert_eq!(s.db.uninstall(s.controller, &A, interface(9)), Ok(Removal::Done));
}

#[test]
fn drivers_and_children_are_named_once() {
    let mut s = scene();
    s.db.install(Some(s.controller), &B, interface(5)).unwrap();
    let other = s.db.install(None, &B, interface(6)).unwrap();
    s.open(s.driver, BY_DRIVER).unwrap();
    let mut open_b = |agent, controller, attributes| {
        let request = OpenRequest { agent: Some(agent), controller: Some(controller), attributes };
        s.db.open(s.controller, &B, request).unwrap()
    };
    open_b(s.driver, s.controller, BY_DRIVER);
    open_b(s.driver, s.child, BY_CHILD);
    open_b(s.driver, s.child, GET);
    open_b(s.rival, other, BY_CHILD);
    let request = OpenRequest { agent: Some(s.driver), controller: Some(s.child), attributes: BY_CHILD };
    s.db.open(s.controller, &A, request).unwrap();
    assert_eq!(s.db.drivers_of(s.controller).unwrap(), [s.driver]);
    assert_eq!(s.db.children_of(s.controller, None).unwrap(), [s.child, other]);
    assert_eq!(s.db.children_of(s.controller, Some(s.rival)).unwrap(), [other]);
    assert_eq!(s.db.drivers_of(s.child).unwrap(), []);
    assert_eq!(s.db.drivers_of(NONE), Err(HandleError::Invalid));
}

#[test]
fn a_registration_reports_each_installation_once() {
    let mut db = HandleDatabase::new();
    let event = Event::from_raw(7);
    let first = db.install(None, &A, interface(1)).unwrap();
    let key = db.register(&A, event).unwrap();
    assert_eq!(db.listeners(&A).collect::<Vec<_>>(), [event]);
    assert_eq!(db.listeners(&B).count(), 0);
    let second = db.install(None, &A, interface(2)).unwrap();
    db.install(None, &B, interface(3)).unwrap();
    assert_eq!(db.next_new(key), Some((first, interface(1))));
    assert_eq!(db.next_new(key), Some((first, interface(1))), "until it is taken");
    db.advance(key, first);
    assert_eq!(db.next_new(key), Some((second, interface(2))));
    db.advance(key, first);
    assert_eq!(db.next_new(key), Some((second, interface(2))), "the first was marked already");
    db.advance(key, second);
    assert_eq!(db.next_new(key), None);
    db.advance(key, second);
    db.reinstall(first, &A, interface(1), interface(4)).unwrap();
    assert_eq!(db.next_new(key), Some((first, interface(4))), "a replacement is new");
    db.uninstall(first, &A, interface(4)).unwrap();
    assert_eq!(db.next_new(key), None);
}

#[test]
fn a_closed_event_ends_its_registrations() {
    let mut db = HandleDatabase::new();
    db.install(None, &A, interface(1)).unwrap();
    let key = db.register(&A, Event::from_raw(7)).unwrap();
    let other = db.register(&A, Event::from_raw(8)).unwrap();
    db.unregister(Event::from_raw(7));
    assert!(db.next_new(other).is_some());
    assert_eq!(db.next_new(key), None);
    assert_eq!(db.listeners(&A).collect::<Vec<_>>(), [Event::from_raw(8)]);
    assert_eq!(db.next_new(Registration::from_raw(0)), None);
}
