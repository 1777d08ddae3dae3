-- What holds for every delivery at any time. Only the engine writes deliveries; each of its tests runs with these.
alter table outbox.deliveries
  add constraint attempts_have_a_start check ((attempt_count = 0) = (last_attempt_at is null)),
  add constraint claimed_only_while_pending check (claimed_by is null or status = 'pending'),
  add constraint next_attempt_only_while_pending check (next_attempt_at is null or status = 'pending'),
  add constraint held_while_held check ((status = 'held') = (held_at is not null) and (held_at is null) = (held_reason is null)),
  add constraint dead_when_dead check ((status = 'dead') = (dead_at is not null)),
  add constraint finished_unless_waiting check ((status in ('pending', 'held')) = (finished_at is null)),
  add constraint lane_seq_is_the_seq_of_a_keyed_event check (lane_seq is null or lane_seq = seq and key is not null);
