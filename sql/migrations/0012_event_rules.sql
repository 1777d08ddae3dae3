-- The rules for events move from constraints into a trigger (sql/functions/check_event.sql): Postgres reads each constraint anew for each
-- statement. What only the engine writes is held to its rules by the tests.

alter table outbox.events
  drop constraint topic_is_dotted_lower_case,
  drop constraint tenant_id_is_1_to_128_printable_characters,
  drop constraint key_is_1_to_512_bytes,
  drop constraint dedupe_key_is_1_to_512_bytes,
  drop constraint traceparent_is_w3c,
  drop constraint headers_map_names_to_strings,
  drop constraint headers_are_at_most_8_kib,
  drop constraint times_are_near_the_present,
  drop constraint expires_at_is_near_the_present_and_after_deliver_after,
  drop constraint payload_is_at_most_1_mib,
  drop constraint payload_nests_at_most_64_levels,
  drop constraint payload_numbers_fit_a_double;

alter table outbox.deliveries
  drop constraint attempts_have_a_start,
  drop constraint claimed_only_while_pending,
  drop constraint next_attempt_only_while_pending,
  drop constraint held_while_held,
  drop constraint dead_when_dead,
  drop constraint finished_unless_waiting,
  drop constraint lane_seq_is_the_seq_of_a_keyed_event;
