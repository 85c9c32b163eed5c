\set liker :client_id + 1
\set number random(1, :posts)
begin;
insert into post_like as edge (post_id, person_id, active, version, changed_at) values (lpad(to_hex(:number::bigint), 32, '0')::uuid, :liker, true, 1, now()) on conflict (post_id, person_id) do update set active = not edge.active, version = edge.version + 1, changed_at = now() returning version, active::integer * 2 - 1 as by \gset
update post set like_count = like_count + :by where id = lpad(to_hex(:number::bigint), 32, '0')::uuid;
insert into event (id, subject, payload) values (gen_random_uuid(), 'post.liked', '{"kind":"post_liked","post":"019aa0c0-0000-7000-8600-000000000000","author":"019aa0c0-0000-7000-8200-000000000000","user":"019aa0c0-0000-7000-8200-000000000000","active": true,"version": 1}');
commit;
