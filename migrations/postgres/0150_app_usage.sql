-- What apps have used of what they may send, where no Redis keeps it. A row is changed with every send of a limited app:
-- room on the page, so that no index is touched.
CREATE TABLE app_usage (
    app        uuid   NOT NULL PRIMARY KEY,
    empty_at   bigint NOT NULL DEFAULT 0,    -- nanoseconds since 1970: when its rate is whole again
    day        bigint NOT NULL DEFAULT 0,    -- days since 1970
    today      bigint,                       -- messages of that day; NULL: not counted from its beginning
    month      bigint NOT NULL DEFAULT 0,    -- months since the year 0
    this_month bigint
) WITH (fillfactor = 20);
