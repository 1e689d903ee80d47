//! Small situations and the plans they must give.

use crate::support::{id, prefix, request, run, tokens};
use baton_scheduler::{Scheduler, SchedulerConfig};
use expect_test::{Expect, expect};

const CONFIG: SchedulerConfig =
    SchedulerConfig { blocks: 16, token_budget: 64, max_sequences: 8, max_waiting: 32, max_context: 512 };

fn check_plans(scheduler: &mut Scheduler, expected: &Expect) {
    let (plans, _) = run(scheduler);
    expected.assert_eq(&plans);
}

#[test]
fn a_prefix_is_computed_once_and_its_partial_block_is_copied() {
    let mut scheduler = Scheduler::new(CONFIG);
    for (number, conductor) in [(1, "ada"), (2, "bob")] {
        let mut request = request(conductor, tokens(0, 3), 2);
        request.prefix = Some(prefix("ux", 70));
        scheduler.admit(id(number), &request).unwrap();
    }
    check_plans(
        &mut scheduler,
        &expect![[r"
        step 1
          prefix: 0..64 in [0, 1], 0 shared
        step 2
          prefix: 64..70 in [0, 1, 2], 0 shared
        step 3
          copy 2 to 3
          copy 2 to 4
          sequence 1: 70..73 in [0, 1, 3], 2 shared, draws
          sequence 2: 70..73 in [0, 1, 4], 2 shared, draws
        step 4
          sequence 1: 73..74 in [0, 1, 3], 2 shared, draws
          sequence 2: 73..74 in [0, 1, 4], 2 shared, draws
    "]],
    );
}
