\set sender :client_id
\set conversation :client_id / 2 + 1
begin;
insert into record (slot, caller_id, operation, key, input_hash, result_id) values (1, :sender, 'sendMessage', gen_random_uuid()::text, '\x00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff', gen_random_uuid()) on conflict do nothing;
select id, kind, title, seq + 1 as seq, change + 1 as change, created_at from conversation where id = :conversation for no key update \gset
select array(select person_id from member where conversation_id = :conversation order by joined_at desc, person_id desc limit 500);
update conversation set seq = :seq, change = :change where id = :conversation;
insert into message (id, conversation_id, seq, sent_change, change, sender_id, idempotency_key, text, media_ids, created_at) values (gen_random_uuid(), :conversation, :seq, :change, :change, :sender, '019aa0c0-0000-7000-8800-000000000000', 'What the load wrote', '{}', now());
update member set sent_seq = :seq where conversation_id = :conversation and person_id = :sender;
insert into event (id, subject, payload) values (gen_random_uuid(), 'conversation.changed', '{"kind":"conversation_changed","conversation":"019aa0c0-0000-7000-8900-000000000000","change": 1,"sent":{"seq": 1,"sender":"019aa0c0-0000-7000-8200-000000000000","members":["019aa0c0-0000-7000-8200-000000000000","019aa0c0-0000-7000-8200-000000000001"],"at": 1764115200000}}');
commit;
