create or replace function outbox.remedy(code text) returns text
  language sql immutable parallel safe
as $$
  select case code
    when 'http_status' then 'Look at the status and the body of the answer: the receiver refused it.'
    when 'gone' then 'The receiver says that it is gone for good: delete the destination, or give it a new URL and enable it.'
    when 'redirect' then 'Redirects are not followed: put the final URL into the config.'
    when 'dns' then 'Check the name in the config, and that public DNS has an address for it.'
    when 'connect' then 'Check that the receiver runs, and that its firewall lets the workers in.'
    when 'tls' then 'Renew the certificate, or make it valid for the name in the config.'
    when 'timeout' then 'Let the receiver answer first and work afterwards, or raise timeout_seconds.'
    when 'reset' then 'Look into the log of the receiver, or of what stands before it: it broke the connection.'
    when 'protocol' then 'Check that host and port lead to a server of this protocol.'
    when 'auth_failed' then 'Give the destination valid credentials, and the rights that it needs there.'
    when 'not_found' then 'Make the queue, topic or exchange, or mend its name in the config.'
    when 'throttled' then 'Raise the quota at the service, or set rate_per_second below it.'
    when 'unavailable' then 'Look at the status page of the service; deliveries are tried again by themselves.'
    when 'too_large' then 'Store the large part elsewhere and send a reference.'
    when 'rejected' then 'Look at the error of the attempt: the service takes no such message, whatever is done.'
    when 'unroutable' then 'Bind a queue to the exchange for this routing key.'
    when 'nacked' then 'Look into the log of the broker: it refused the message.'
    when 'blocked_address' then 'Use a public address, or let the operator open the network with POSTRIDER_ALLOW_NETWORKS.'
    when 'config_invalid' then 'Mend the config: select outbox.update_destination(...);'
    when 'secret_unavailable' then 'Give the workers the key that sealed the secret (POSTRIDER_KEYS), or set the secret anew.'
    when 'worker_lost' then 'Find out why the worker ended; its deliveries were taken over.'
    when 'shutdown' then 'Nothing: the delivery is tried again at once.'
    when 'internal' then 'A bug of the destination type: the log of the worker has its trace.'
    when 'expired' then 'The event became older than max_age_seconds: redrive it if it is still of use.'
    when 'poison' then 'Workers died with this delivery in their hands: look at its payload before you redrive it.'
    else 'Look at the error of the last attempt.'
  end
$$;
revoke all on function outbox.remedy(text) from public;
comment on function outbox.remedy(text) is 'What to do about a failure of this code, in one sentence.';
