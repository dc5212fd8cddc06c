#!lua flags=allow-oom
-- delete(user, batch_id) -> OK | NOT_FOUND | RUNNING
-- Deletes an ended batch and everything that belongs to it.

local batch = load_batch(ARGV[1], ARGV[2])
if not batch then return 'NOT_FOUND' end
if not batch_has_ended(batch) then return 'RUNNING' end
delete_batch(batch)
commit()
return 'OK'
