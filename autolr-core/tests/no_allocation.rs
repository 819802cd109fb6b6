//! The hot path allocates nothing: a counting allocator watches the update, the schedules and a whole decision.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use autolr_core::schedule::{CosineAnnealingLr, Schedule, ScheduleConfig};
use autolr_core::testkit::strategies;
use autolr_core::{
    AutoLr, AutoLrConfig, Decision, Factors, GroupProbing, Normalization, ProbeCost, ScaleUpdate,
    Update,
};
use ndarray::{Array1, s};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting what this thread asks for.
struct Counting;

// The one place of this crate's tests that needs it: an allocator cannot be written without.
#[allow(unsafe_code, reason = "GlobalAlloc is an unsafe trait")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are those of `System.alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System.alloc` above with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many allocations `work` makes.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

fn losses(n: usize) -> Array1<f64> {
    Array1::from_iter((0..n).map(|i| {
        if i == 2 {
            f64::NAN
        } else {
            1.0 + (i % 5) as f64
        }
    }))
}

fn rule(n: usize, kind: Normalization) -> ScaleUpdate {
    let factors: Vec<f64> = (0..n).map(|i| 0.5 + i as f64 / n as f64).collect();
    ScaleUpdate::new(Factors::new(factors).unwrap()).with_normalization(kind)
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1_u8]))), 1);
    assert_eq!(allocations(|| {}), 0);
}

#[test]
fn an_update_allocates_nothing() {
    for n in [3, 7, 31, 1_000, 1_000_000] {
        for &kind in Normalization::ALL {
            let (rule, losses) = (rule(n, kind), losses(n));
            let mut update = Update::with_capacity(n);
            let count = allocations(|| rule.update_into(losses.view(), &mut update).unwrap());
            assert_eq!(count, 0, "{n} candidates, {kind:?}");
        }
    }
}

#[test]
fn a_decision_allocates_nothing() {
    let cost = Some(ProbeCost::default());
    let rule = || rule(7, Normalization::ZScore);
    let plain = || AutoLrConfig::new(0.1, rule()).unwrap();
    let groups = |probing| plain().with_groups([1.0, 0.1], probing).unwrap();
    let cosine = CosineAnnealingLr::new(0.1, 50, 0.0).unwrap();
    for (what, config) in [
        ("plain", plain()),
        ("bounds", plain().with_bounds(0.05, 0.2).unwrap()),
        ("bounds that cut", plain().with_bounds(0.08, 0.12).unwrap()),
        ("groups together", groups(GroupProbing::Together)),
        ("groups in turn", groups(GroupProbing::InTurn)),
        ("a base schedule", AutoLrConfig::over(cosine, rule())),
    ] {
        let mut scheduler = AutoLr::new(config);
        let (losses, mut decision) = (losses(7), Decision::with_capacity(7));
        let mut count = 0;
        for _ in 0..100 {
            let losses = losses.slice(s![..scheduler.candidates().len()]);
            count += allocations(|| {
                let told = scheduler.tell_into(losses, cost, &mut decision);
                assert_eq!(told, Ok(true));
            });
        }
        assert_eq!(count, 0, "{what}");
    }
}

#[test]
fn a_schedule_allocates_nothing() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..500 {
        let schedule: ScheduleConfig = strategies::schedule()
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let count = allocations(|| {
            for step in [0, 1, 7, 1_000, u64::MAX] {
                std::hint::black_box(schedule.lr(step));
            }
        });
        assert_eq!(count, 0, "{schedule:?}");
    }
}
