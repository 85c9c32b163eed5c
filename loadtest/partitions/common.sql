-- What the tables under test share. Ids look as the program's do: version 7, so in the order of their numbers.
create function made(n bigint, salt text) returns uuid language sql immutable parallel safe return
    (lpad(to_hex(1700000000000 + n * 1000), 12, '0') || '7' || substr(md5(salt || n), 1, 3)
        || '8' || substr(md5(salt || n), 4, 15))::uuid;

create table owners as select n, made(n, 'owner') as id from generate_series(1, 100000) n;
alter table owners add primary key (id);
vacuum analyze owners;

create schema plain;
create schema parted;

-- Sixteen parts by the hash of the key that the table was declared with.
create procedure hashed(name text) language plpgsql as $$
begin
    for part in 0..15 loop
        execute format('create table parted.%I partition of parted.%I for values with (modulus 16, remainder %s)',
            name || part, name, part);
    end loop;
end $$;

-- A part for each of the last ten days, and today's.
create procedure daily(name text) language plpgsql as $$
begin
    for day in 0..10 loop
        execute format('create table parted.%I partition of parted.%I for values from (%L) to (%L)',
            name || day, name, current_date - 10 + day, current_date - 9 + day);
    end loop;
end $$;

-- The size of a table with its parts and indexes, in bytes.
create function weight(name text) returns bigint language sql as
    $$ select sum(pg_total_relation_size(relid))
        from (select relid from pg_partition_tree(name::regclass) union select name::regclass) as part $$;
