\set author :client_id + 1
\set number random(1, :posts)
begin;
insert into record (slot, caller_id, operation, key, input_hash, result_id) values (1, :author, 'createComment', gen_random_uuid()::text, '\x00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff', gen_random_uuid()) on conflict do nothing;
update post set comment_count = comment_count + 1, comment_seq = comment_seq + 1 where id = lpad(to_hex(:number::bigint), 32, '0')::uuid and deleted_at is null returning comment_seq \gset
insert into comment (id, post_id, author_id, text, mention_ids, n, created_at) values (gen_random_uuid(), lpad(to_hex(:number::bigint), 32, '0')::uuid, :author, 'What the load wrote', '{}', :comment_seq, now());
insert into event (id, subject, payload) values (gen_random_uuid(), 'comment.created', '{"kind":"comment_created","comment":"019aa0c0-0000-7000-8700-000000000000","post":"019aa0c0-0000-7000-8600-000000000000","post_author":"019aa0c0-0000-7000-8200-000000000000","author":"019aa0c0-0000-7000-8200-000000000000","parent_author": null,"mentions":[],"n": 1}');
commit;
