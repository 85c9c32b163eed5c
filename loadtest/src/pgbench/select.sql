\set id random(1, :people)
select id, username, email, email_verified, full_name, bio, website, avatar_id, role, state, is_verified, post_count, follower_count, following_count, created_at from person where id = :id;
