-- Functions that now take more than they did: the old form would stand beside the new.

drop function if exists outbox.wake(uuid[], uuid[], timestamptz);
drop function if exists outbox.deliver_job(json, timestamptz);
drop function if exists outbox.record_delivered(uuid, uuid[], uuid[], integer[], integer[], jsonb);
