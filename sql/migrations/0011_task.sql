-- graphile-worker learns the name of the task with its first job. In a transaction that stays open, that would make all other
-- producers wait for its end.
select graphile_worker.add_job('outbox_deliver', json_build_object('v', 1, 'deliveries', json_build_object()), job_key => 'postrider');
select graphile_worker.remove_job('postrider');
