\set author :client_id + 1
\set picture random(1, 10000)
begin;
insert into record (slot, caller_id, operation, key, input_hash, result_id) values (1, :author, 'createPost', gen_random_uuid()::text, '\x00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff', gen_random_uuid()) on conflict do nothing;
update picture set used_by = gen_random_uuid(), updated_at = now() where id = :picture;
insert into post (id, author_id, caption, media_ids, hashtags, mention_ids, created_at) values (gen_random_uuid(), :author, 'What the load wrote', array[gen_random_uuid()], '{}', '{}', now());
update person set post_count = post_count + 1 where id = :author;
insert into event (id, subject, payload) values (gen_random_uuid(), 'post.created', '{"kind":"post_created","post":"019aa0c0-0000-7000-8600-000000000000","author":"019aa0c0-0000-7000-8200-000000000000","hashtags":[],"mentions":[]}');
commit;
