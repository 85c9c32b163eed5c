\set follower :client_id + 1
\set person random(1, :people)
begin;
insert into follower as edge (person_id, follower_id, active, version, changed_at) values (:person, :follower, true, 1, now()) on conflict (person_id, follower_id) do update set active = not edge.active, version = edge.version + 1, changed_at = now() returning version, active::integer * 2 - 1 as by \gset
update person set follower_count = follower_count + :by where id = :person;
insert into event (id, subject, payload) values (gen_random_uuid(), 'user.followed', '{"kind":"user_followed","user":"019aa0c0-0000-7000-8200-000000000000","follower":"019aa0c0-0000-7000-8200-000000000000","active": true,"version": 1}');
commit;
