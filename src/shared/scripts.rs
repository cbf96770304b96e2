//! The scripts that run inside Redis. Each reads and writes one key, by the server's clock.

/// `KEYS[1]` claim: one string of `lease's end, owner, state, number, body` with blanks between, because a hash whose body is longer
/// than a few words takes twice the memory and a third more time. `ARGV`: the same from the owner on, lease ms, keep ms, server's time until
/// which the writer waits, `1` if it knows of no claim. Answers 1 if written, -1 if the writer has given up waiting: a server that
/// thaws finds what was sent to it before.
///
/// A writer that is not the owner must come after the lease, and must know of the last attempt: it writes a higher number.
pub const CLAIM: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now > tonumber(ARGV[4]) then return -1 end
local claim = string.format('%.0f ', now + ARGV[2]) .. ARGV[1]
if ARGV[5] == '1' then return redis.call('SET', KEYS[1], claim, 'PX', ARGV[3], 'NX') and 1 or 0 end
local there = redis.call('GET', KEYS[1])
if there then
    local lease, owner, state, number = string.match(there, '^(%d+) (%S+) (%a+) (%d+) ')
    if state == 'cancelled' then return 0 end
    local ours, wanted, next = string.match(ARGV[1], '^(%S+) (%a+) (%d+) ')
    if owner ~= ours then
        number, next = tonumber(number), tonumber(next)
        if tonumber(lease) > now or number > next then return 0 end
        if number == next and wanted == 'open' and (state == 'open' or state == 'done') then return 0 end
    end
end
redis.call('SET', KEYS[1], claim, 'PX', ARGV[3])
return 1
";

/// `KEYS[1]` claim; `ARGV`: keep ms. Answers 1 if nobody will submit the message any more.
pub const CANCEL: &str = r"
local there = redis.call('GET', KEYS[1])
local state = there and string.match(there, '^%d+ %S+ (%a+) ')
if state == 'cancelled' then return 1 end
if state == 'open' or state == 'done' then return 0 end
redis.call('SET', KEYS[1], '0 0 cancelled 0 ', 'PX', ARGV[1])
return 1
";

/// `KEYS[1]` idempotency key; `ARGV`: value, keep ms. Answers what was there, or nothing.
pub const RESERVE: &str = r"
local there = redis.call('GET', KEYS[1])
if there then return there end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
";

/// `KEYS[1]` a budget's sorted set of nodes by when they were last seen; `ARGV`: node, alive ms. Answers how many live.
pub const REGISTER: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
";

/// `KEYS[1]` a topic: a hash of `name -> until ms, value`; `ARGV`: name, value, keep ms.
pub const TELL: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%015.0f', now + ARGV[3]) .. ARGV[2])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 1
";

/// `KEYS[1]` a topic. Answers names and values that are still meant, and forgets the others.
pub const TOLD: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local all = redis.call('HGETALL', KEYS[1])
local fresh = {}
for i = 1, #all, 2 do
    if tonumber(string.sub(all[i + 1], 1, 15)) > now then
        fresh[#fresh + 1] = all[i]
        fresh[#fresh + 1] = string.sub(all[i + 1], 16)
    else
        redis.call('HDEL', KEYS[1], all[i])
    end
end
return fresh
";

/// `KEYS[1]` tries under a name; `ARGV`: most, window ms. Answers -1 if counted, else the milliseconds until the window ends.
pub const TRY: &str = r"
local tries = tonumber(redis.call('GET', KEYS[1]) or '0')
if tries >= tonumber(ARGV[1]) then return math.max(redis.call('PTTL', KEYS[1]), 1) end
if redis.call('INCR', KEYS[1]) == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return -1
";

/// `KEYS[1]` tries under a name: one less, while there are any.
pub const TAKE_BACK: &str = r"
if tonumber(redis.call('GET', KEYS[1]) or '0') > 0 then redis.call('DECR', KEYS[1]) end
return 1
";

/// `KEYS[1]` what an app has used; `ARGV`: want, messages a second, daily and monthly quota, day, month, keep ms. Answers how
/// many are granted, which bound stopped (0 none, 1 second, 2 day, 3 month), microseconds that the bucket is filled by; a
/// grant of -1 means that nobody has counted. The same steps as `allowance::Usage::take`.
pub const TAKE: &str = r"
local want, per_s, daily, monthly = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local day, month = tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local used = redis.call('HMGET', KEYS[1], 'empty_at', 'day', 'today', 'month', 'this_month')
local today, this_month = tonumber(used[3] or nil), tonumber(used[5] or nil)
if today and day > tonumber(used[2]) then today = 0 end
if this_month and month > tonumber(used[4]) then this_month = 0 end
if (daily > 0 and not today) or (monthly > 0 and not this_month) then return {-1, 0, 0} end
local of_day, of_month, of_second = want, want, want
if daily > 0 then of_day = math.max(0, daily - today) end
if monthly > 0 then of_month = math.max(0, monthly - this_month) end
local empty_at, filled = tonumber(used[1] or '0'), 0
if per_s > 0 then
    local each = 1000000 / per_s
    filled = math.max(0, empty_at - now)
    of_second = math.max(0, math.floor((1000000 + each / 1000 - filled) / each))
end
local granted = math.min(want, of_day, of_month, of_second)
if granted > 0 then
    if per_s > 0 then
        empty_at = math.max(empty_at, now) + granted * 1000000 / per_s
        filled = empty_at - now
        redis.call('HSET', KEYS[1], 'empty_at', string.format('%.3f', empty_at))
    end
    if today then redis.call('HSET', KEYS[1], 'day', day, 'today', string.format('%.0f', today + granted)) end
    if this_month then redis.call('HSET', KEYS[1], 'month', month, 'this_month', string.format('%.0f', this_month + granted)) end
    redis.call('PEXPIRE', KEYS[1], ARGV[7])
end
local stop = 0
if granted < want then
    local room = math.min(of_day, of_month, of_second)
    if monthly > 0 and room == of_month then stop = 3 elseif daily > 0 and room == of_day then stop = 2 else stop = 1 end
end
return {granted, stop, math.floor(filled)}
";

/// `KEYS[1]` what an app has used; `ARGV`: count, messages a second, day, month.
pub const GIVE_BACK: &str = r"
local count, per_s = tonumber(ARGV[1]), tonumber(ARGV[2])
local used = redis.call('HMGET', KEYS[1], 'empty_at', 'day', 'today', 'month', 'this_month')
if used[1] and per_s > 0 then
    redis.call('HSET', KEYS[1], 'empty_at', string.format('%.3f', used[1] - count * 1000000 / per_s))
end
if used[3] and used[2] == ARGV[3] then redis.call('HSET', KEYS[1], 'today', string.format('%.0f', math.max(0, used[3] - count))) end
if used[5] and used[4] == ARGV[4] then redis.call('HSET', KEYS[1], 'this_month', string.format('%.0f', math.max(0, used[5] - count))) end
return 1
";

/// `KEYS[1]` what an app has used; `ARGV`: day, month, messages of the day, of the month, keep ms. Who tells first is believed.
pub const LEARN: &str = r"
if redis.call('HEXISTS', KEYS[1], 'today') == 0 then redis.call('HSET', KEYS[1], 'day', ARGV[1], 'today', ARGV[3]) end
if redis.call('HEXISTS', KEYS[1], 'this_month') == 0 then redis.call('HSET', KEYS[1], 'month', ARGV[2], 'this_month', ARGV[4]) end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
";

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 11] = [CLAIM, CANCEL, RESERVE, REGISTER, TELL, TOLD, TRY, TAKE_BACK, TAKE, GIVE_BACK, LEARN];

    /// What a script calls that is neither a question for the time nor about its one key. A node that has all slots would let it
    /// pass; in a cluster the other key may lie elsewhere.
    fn strays(script: &str) -> Vec<&str> {
        let calls = script.split("redis.call(").skip(1);
        calls
            .filter(|call| !call.starts_with("'TIME')") && call.split_once(", ").is_none_or(|(_, rest)| !rest.starts_with("KEYS[1]")))
            .collect()
    }

    #[test]
    fn a_script_touches_the_one_key_that_it_is_given() {
        for script in ALL {
            assert_eq!(strays(script), Vec::<&str>::new());
            assert!(!script.contains("KEYS[2]") && !script.contains("pcall"), "{script}");
        }
        let stray = "redis.call('SET', KEYS[1], 1) redis.call('DEL', 'other') redis.call('TIME')";
        assert_eq!(strays(stray).len(), 1);
    }
}
