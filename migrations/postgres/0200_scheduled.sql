-- Whether a week of messages may go is asked by what was scheduled in it: few messages are.
CREATE INDEX messages_scheduled ON messages (send_at) WHERE send_at IS NOT NULL;
