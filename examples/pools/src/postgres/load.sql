SELECT sess::text, (extract(epoch FROM expire::timestamptz) * 1000)::int8, true
FROM session WHERE sid = $1 AND expire > to_timestamp($2::int8 / 1e3)
