//! What a user of the API may rely on, asked of a deployment over the network. Nothing is known of the deployment but
//! its address and who makes tokens; `docs/develop.md` says how to run this against one's own.
//!
//! - [`world`]: the deployment. [`tokens`]: their maker. [`forged`]: tokens to be refused. [`person`]: somebody who uses
//!   it. [`stream`]: what an attached device gets. [`refusal`]: what a refusal must say.
//! - A module for each promise: [`order`], [`exactly_once`], [`attach`], [`membership`], [`roles`], [`tenants`],
//!   [`administration`]; and for what can be done: [`messages`], [`history`], [`markers`], [`ephemeral`], [`limits`], [`rooms`],
//!   [`invitations`], [`accounts`].
//! - [`bad_input`]: at every method, by [`raw`] requests. [`half_open`]: connections that don't go on. [`slow`]: streams
//!   that nobody reads.
//!
//! Each run has users and tenants of its own, so runs may follow each other, or run side by side, on a deployment in use.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod accounts;
mod administration;
mod attach;
mod bad_input;
mod ephemeral;
mod exactly_once;
mod forged;
mod half_open;
mod history;
mod invitations;
mod limits;
mod markers;
mod membership;
mod messages;
mod order;
mod person;
mod raw;
mod refusal;
mod roles;
mod rooms;
#[path = "../e2e/server.rs"]
#[allow(dead_code)]
mod server;
mod slow;
mod stream;
mod tenants;
mod tokens;
mod world;

use bad_input::State;
use futures_util::future::BoxFuture;
use libtest_mimic::{Arguments, Failed, Trial};
use std::{process::ExitCode, sync::Arc, time::Duration};
use tokio::runtime::{Builder, Runtime};
use world::World;

/// Longer than any test takes; only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(120);
/// Tests that run at once, unless it is said otherwise: most of a test is waiting.
const AT_ONCE: usize = 6;

type Test = Box<dyn FnOnce(Arc<World>) -> BoxFuture<'static, ()> + Send>;

/// Names tests by their module and function.
macro_rules! tests {
    ($($module:ident { $($name:ident),+ $(,)? })+) => {
        vec![$($((
            concat!(stringify!($module), "::", stringify!($name)).to_owned(),
            Box::new(|world| Box::pin($module::$name(world)) as BoxFuture<'static, ()>) as Test,
        )),+),+]
    };
}

fn all() -> Vec<(String, Test)> {
    let mut tests = tests! {
        slow {
            a_stream_that_nobody_reads_costs_little_and_loses_nothing,
        }
        attach {
            a_quiet_stream_has_a_heartbeat_with_the_servers_time,
            a_gap_that_is_too_long_is_left_to_the_history,
            a_stream_ends_when_its_token_expires,
            a_cursor_means_complete_up_to_here,
            there_is_no_seam_while_messages_flow,
            without_a_cursor_there_is_a_reset,
            a_cursor_of_another_log_is_reset,
            who_joins_while_attached_sees_it_from_there,
            a_cursor_of_a_foreign_conversation_tells_nothing,
            more_cursors_join_an_attached_stream,
            all_devices_of_a_user_get_everything,
            a_device_has_a_limited_number_of_streams,
        }
        ephemeral {
            typing_reaches_the_other_members,
            presence_reaches_those_who_share_a_conversation,
            markers_are_told_as_they_move,
        }
        roles {
            a_reader_reads,
            a_member_writes_and_an_admin_keeps_order,
            nobody_reaches_above_their_own_role,
            the_last_owner_stays,
            two_owners_can_not_both_go,
            who_is_a_member_already_stays_as_they_are,
            a_channel_may_be_for_admins_to_write,
            a_direct_conversation_is_one_per_pair,
        }
        tenants {
            the_same_names_in_two_tenants_are_different_people,
            one_id_is_two_events_in_two_tenants,
        }
        messages {
            a_content_arrives_as_it_was_sent,
            one_edits_and_deletes_ones_own,
            reactions_are_each_there_once,
            pins_are_for_everybody,
            replies_and_threads_hang_together,
            a_content_has_limits,
        }
        history {
            pages_join_up_in_both_directions,
            around_a_message_there_is_half_a_page_on_each_side,
            a_time_is_a_place_in_the_log,
            raw_events_are_the_log,
            an_answer_says_what_it_reflects,
            conversations_are_listed_by_activity,
            members_are_listed_by_name,
        }
        accounts {
            people_show_themselves,
            each_field_changes_alone,
            a_profile_has_limits,
            ones_devices_hear_of_a_change,
        }
        rooms {
            public_channels_are_found_by_title,
            preferences_are_ones_own,
            slow_mode_says_how_long_to_wait,
        }
        invitations {
            a_link_lets_in_whoever_has_it,
            those_who_are_named_find_it,
            only_admins_invite_and_revoke,
            the_last_use_is_taken_once,
            what_is_no_invitation_tells_nothing,
            an_invitation_has_limits,
        }
        limits {
            a_message_has_so_many_kinds_of_reactions,
            a_conversation_has_so_many_pins,
            people_come_by_the_hundred,
            attach_takes_so_many_cursors,
        }
        markers {
            the_highest_marker_wins,
            unread_are_the_messages_above_it,
            mentions_are_counted,
            a_stranger_has_no_markers,
        }
        order {
            everybody_sees_the_same_log,
            an_envelope_never_changes,
        }
        membership {
            who_joins_later_sees_nothing_before,
            who_was_removed_keeps_what_they_had,
            what_was_said_meanwhile_stays_unseen,
            a_stranger_finds_nothing,
        }
        exactly_once {
            a_retry_gets_the_first_receipt,
            the_same_id_at_once_is_one_event,
            an_id_stands_for_one_content,
            an_id_belongs_to_its_sender_and_conversation,
            a_retry_after_removal_gets_the_first_receipt,
            ids_of_another_time_are_told_so,
            a_conversation_is_created_once,
        }
    };
    tests.push((
        "bad_input::what_is_not_there_is_unimplemented".into(),
        Box::new(|world| Box::pin(bad_input::framing::what_is_not_there_is_unimplemented(world))),
    ));
    tests.push((
        "bad_input::a_browser_is_refused_in_its_own_words".into(),
        Box::new(|world| Box::pin(bad_input::web::a_browser_is_refused_in_its_own_words(world))),
    ));
    tests.extend(of_methods(|method, state| !is_administration(method) || state != State::Now));
    tests
}

/// Those that need a user who administers the deployment.
fn administered() -> Vec<(String, Test)> {
    let mut tests = tests! {
        administration {
            retention_is_said_of_one_conversation,
            retention_has_bounds,
            nobody_else_administers,
            who_is_no_member_adds_and_removes,
            several_are_removed_at_once_or_not_at_all,
            roles_have_no_bounds_for_administrators,
            a_direct_conversation_keeps_its_two,
            a_tenants_conversations_are_listed_once,
            a_conversation_is_described,
            a_log_is_trimmed_on_request,
        }
    };
    tests.extend(of_methods(|method, state| {
        is_administration(method) && method != READING && state == State::Now
    }));
    tests
}

/// The method that a deployment need not have.
const READING: &str = "AdminService/ListConversationEvents";

/// Those that need a deployment whose administrators may read what they are no members of.
fn reading() -> Vec<(String, Test)> {
    let mut tests = tests! {
        administration {
            a_log_is_read_for_a_reason,
        }
    };
    tests.extend(of_methods(|method, _| method == READING));
    tests
}

fn is_administration(method: &str) -> bool {
    method.starts_with("AdminService/")
}

/// Bad input at these methods.
fn of_methods(which: impl Fn(&str, State) -> bool) -> Vec<(String, Test)> {
    let methods = bad_input::methods().into_iter().filter(|(method, state)| which(method, *state));
    let tests = methods.map(|(method, state)| {
        let name = format!("bad_input::{method}");
        let test: Test = match state {
            State::Later => Box::new(|world| Box::pin(bad_input::of_later_method(world, method))),
            State::Now => Box::new(|world| Box::pin(bad_input::of_method(world, method))),
            State::Development => Box::new(|world| Box::pin(bad_input::of_development_method(world, method))),
        };
        (name, test)
    });
    tests.collect()
}

/// Those that need limits of their own, and so a deployment of their own.
fn own() -> Vec<(String, Test)> {
    tests! {
        half_open {
            connections_that_say_nothing_are_ended,
            requests_that_never_end_are_given_up,
            a_client_that_takes_nothing_is_let_go,
        }
    }
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let runtime = Arc::new(Builder::new_multi_thread().enable_all().build().unwrap());
    if arguments.list {
        let tests = own().into_iter().chain(administered()).chain(reading()).chain(all());
        let trials = tests.map(|(name, _)| Trial::test(name, || Ok(()))).collect();
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    let world = Arc::new(runtime.block_on(World::find()));
    let mut trials = Vec::new();
    for (tests, impossible, needed) in [
        (own(), world.own.is_none(), "needs limits of its own"),
        (administered(), world.administrator.is_none(), "needs NEXUS_ADMINISTRATOR"),
        (reading(), !world.administrators_read, "needs NEXUS_ADMINISTRATORS_READ"),
    ] {
        for (name, test) in tests {
            let trial = trial(&runtime, &world, name, test).with_ignored_flag(impossible);
            trials.push(if impossible { trial.with_kind(needed) } else { trial });
        }
    }
    trials.extend(all().into_iter().map(|(name, test)| trial(&runtime, &world, name, test)));
    drop(world);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(runtime: &Arc<Runtime>, world: &Arc<World>, name: String, test: Test) -> Trial {
    let (runtime, world) = (runtime.clone(), world.clone());
    Trial::test(name, move || {
        runtime.block_on(async {
            let ended = tokio::time::timeout(PATIENCE, test(world)).await;
            ended.map_err(|_| Failed::from(format!("no end within {} s", PATIENCE.as_secs())))
        })
    })
}
