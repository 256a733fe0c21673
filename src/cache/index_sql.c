#include "cache/cache_internal.h"

/*
 * guard: a checksum of a version's row, whose damage nothing else would tell. used: a clock that counts uses, so that a clock of the machine that jumps means nothing. tier 0: used once; tier 1: used
 * again. disk: bytes of the file that are reserved or written; 0 of one whose bytes are in the row.
 */
#define NOTES \
    "CREATE TABLE note(origin INTEGER NOT NULL, key TEXT NOT NULL, etag TEXT NOT NULL, size INTEGER NOT NULL," \
    " modified INTEGER NOT NULL, used INTEGER NOT NULL, guard INTEGER NOT NULL, body BLOB NOT NULL," \
    " PRIMARY KEY(origin, key)) WITHOUT ROWID;" \
    "CREATE INDEX note_used ON note(used);" \
    "CREATE TRIGGER note_added AFTER INSERT ON note BEGIN" \
    " UPDATE space SET notes = notes + length(new.key) + length(new.body) + 200; END;" \
    "CREATE TRIGGER note_changed AFTER UPDATE OF body ON note BEGIN" \
    " UPDATE space SET notes = notes + length(new.body) - length(old.body); END;" \
    "CREATE TRIGGER note_dropped AFTER DELETE ON note BEGIN" \
    " UPDATE space SET notes = notes - length(old.key) - length(old.body) - 200; END;"

#define SIZES "CREATE INDEX content_size ON content(size) WHERE state = 2;"

/* taken, wall: when the first request began, in milliseconds since that boot, and by the clock of the machine. */
#define LISTINGS                                                                                                              \
    "ALTER TABLE space ADD COLUMN listings INTEGER NOT NULL DEFAULT 0;"                                                       \
    "CREATE TABLE listing(id INTEGER PRIMARY KEY, origin INTEGER NOT NULL, view INTEGER NOT NULL, key TEXT NOT NULL,"         \
    " boot BLOB NOT NULL, taken INTEGER NOT NULL, wall INTEGER NOT NULL, guard INTEGER NOT NULL, hint INTEGER NOT NULL,"      \
    " body BLOB NOT NULL, UNIQUE(origin, view, key));"                                                                        \
    "CREATE INDEX listing_taken ON listing(taken);"                                                                           \
    "CREATE TRIGGER listing_added AFTER INSERT ON listing BEGIN"                                                              \
    " UPDATE space SET listings = listings + length(new.key) + length(new.body) + 200; END;"                                  \
    "CREATE TRIGGER listing_changed AFTER UPDATE OF body ON listing BEGIN"                                                    \
    " UPDATE space SET listings = listings + length(new.body) - length(old.body); END;"                                       \
    "CREATE TRIGGER listing_dropped AFTER DELETE ON listing BEGIN"                                                            \
    " UPDATE space SET listings = listings - length(old.key) - length(old.body) - 200; END;"

const char index_schema[] =
    "CREATE TABLE origin(id INTEGER PRIMARY KEY, name TEXT NOT NULL);"
    "CREATE TABLE content(id INTEGER PRIMARY KEY AUTOINCREMENT, hash BLOB UNIQUE, size INTEGER NOT NULL,"
    " state INTEGER NOT NULL, disk INTEGER NOT NULL, tier INTEGER NOT NULL, used INTEGER NOT NULL,"
    " pinned INTEGER NOT NULL DEFAULT 0, md5 BLOB, seen BLOB, body BLOB);"
    "CREATE INDEX content_used ON content(tier, used) WHERE pinned = 0 AND state <> 3;"
    "CREATE INDEX content_md5 ON content(md5) WHERE md5 IS NOT NULL;"
    "CREATE INDEX content_gone ON content(id) WHERE state = 3;"
    "CREATE TABLE version(origin INTEGER NOT NULL, key TEXT NOT NULL, etag TEXT NOT NULL, size INTEGER NOT NULL,"
    " content INTEGER NOT NULL, guard INTEGER NOT NULL, PRIMARY KEY(origin, key, etag, size)) WITHOUT ROWID;"
    "CREATE INDEX version_content ON version(content);"
    "CREATE TABLE chunks(content INTEGER NOT NULL, part INTEGER NOT NULL, mask INTEGER NOT NULL, sums BLOB NOT NULL,"
    " PRIMARY KEY(content, part)) WITHOUT ROWID;"
    "CREATE TABLE space(one INTEGER PRIMARY KEY CHECK(one = 1), disk INTEGER NOT NULL, once INTEGER NOT NULL,"
    " again INTEGER NOT NULL, clock INTEGER NOT NULL, notes INTEGER NOT NULL);"
    "INSERT INTO space VALUES(1, 0, 0, 0, 1, 0);"
    "CREATE TABLE state(epoch TEXT NOT NULL, swept INTEGER NOT NULL);"
    "CREATE TRIGGER content_added AFTER INSERT ON content BEGIN UPDATE space SET disk = disk + new.disk,"
    " once = once + (new.tier = 0) * max(new.disk, ifnull(length(new.body), 0)),"
    " again = again + (new.tier = 1) * max(new.disk, ifnull(length(new.body), 0)); END;"
    "CREATE TRIGGER content_dropped AFTER DELETE ON content BEGIN UPDATE space SET disk = disk - old.disk,"
    " once = once - (old.tier = 0) * max(old.disk, ifnull(length(old.body), 0)),"
    " again = again - (old.tier = 1) * max(old.disk, ifnull(length(old.body), 0)); END;"
    "CREATE TRIGGER content_moved AFTER UPDATE OF disk, tier ON content WHEN old.disk <> new.disk OR old.tier <> new.tier"
    " BEGIN UPDATE space SET disk = disk + new.disk - old.disk,"
    " once = once + (new.tier = 0) * max(new.disk, ifnull(length(new.body), 0))"
    " - (old.tier = 0) * max(old.disk, ifnull(length(old.body), 0)),"
    " again = again + (new.tier = 1) * max(new.disk, ifnull(length(new.body), 0))"
    " - (old.tier = 1) * max(old.disk, ifnull(length(old.body), 0)); END;" NOTES SIZES LISTINGS;

/* Version 1 had notes that nothing wrote. */
const char *const index_steps[INDEX_VERSION] = {
    [1] = "DROP TABLE note; UPDATE space SET notes = 0;" NOTES,
    [2] = SIZES,
    [3] = LISTINGS,
};

#define CANDIDATE                                                                                                             \
    "c.id, c.hash, v.key, v.etag, o.name FROM content c JOIN version v ON v.content = c.id JOIN origin o ON o.id = v.origin"
#define CONTENT_COLUMNS "c.id, c.state, c.size, c.hash, c.seen, c.disk"

const char *const index_sql[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_FIND_VERSION] = "SELECT " CONTENT_COLUMNS ", v.guard FROM version v JOIN content c ON c.id = v.content"
                         " WHERE v.origin = ?1 AND v.key = ?2 AND v.etag = ?3 AND v.size = ?4 AND c.state < 3",
    [SQL_CONTENT] = "SELECT " CONTENT_COLUMNS " FROM content c WHERE c.id = ?1",
    [SQL_FIND_HASH] = "SELECT " CONTENT_COLUMNS " FROM content c WHERE c.hash = ?1 AND c.size = ?2 AND c.state < 3",
    [SQL_FIND_MD5] = "SELECT " CONTENT_COLUMNS " FROM content c WHERE c.md5 = ?1 AND c.size = ?2 AND c.state IN (1, 2)",
    [SQL_BODY] = "SELECT body, hash FROM content WHERE id = ?1 AND state = 1",
    [SQL_GROUP] = "SELECT mask, sums FROM chunks WHERE content = ?1 AND part = ?2",
    [SQL_ADD_CONTENT] = "INSERT INTO content(size, state, disk, tier, used) VALUES(?1, 0, 0, 0, (SELECT clock FROM space))",
    [SQL_ADD_INLINE] = "INSERT INTO content(hash, size, state, disk, tier, used, md5, body)"
                       " VALUES(?1, ?2, 1, 0, 0, (SELECT clock FROM space), ?3, ?4)",
    [SQL_PUT_VERSION] = "INSERT OR REPLACE INTO version(origin, key, etag, size, content, guard)"
                        " VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    [SQL_VERSIONS_OF] = "SELECT origin, key, etag, size FROM version WHERE content = ?1 LIMIT 1",
    [SQL_PUT_ORIGIN] = "INSERT OR IGNORE INTO origin(id, name) VALUES(?1, ?2)",
    [SQL_PUT_GROUP] = "INSERT OR REPLACE INTO chunks(content, part, mask, sums) VALUES(?1, ?2, ?3, ?4)",
    [SQL_DROP_GROUPS] = "DELETE FROM chunks WHERE content = ?1",
    [SQL_FORGET_CHUNK] = "UPDATE chunks SET mask = mask & ~?3 WHERE content = ?1 AND part = ?2"
                         " AND (SELECT state FROM content WHERE id = ?1) = 0",
    [SQL_RESERVE] = "UPDATE content SET disk = disk + ?2 WHERE id = ?1 AND state = 0",
    [SQL_RECORD] = "UPDATE content SET disk = ?2, seen = ?3 WHERE id = ?1 AND state = 0",
    [SQL_STAMP] = "UPDATE content SET seen = ?2 WHERE id = ?1 AND state = 2",
    [SQL_PROMOTE] = "UPDATE content SET hash = ?2, state = 2, md5 = ?3, seen = NULL WHERE id = ?1 AND state = 0",
    [SQL_DROP_VERSIONS] = "DELETE FROM version WHERE content = ?1",
    [SQL_DROP_CONTENT] = "DELETE FROM content WHERE id = ?1",
    [SQL_GONE] = "UPDATE content SET state = 3, hash = NULL, md5 = NULL, pinned = 0 WHERE id = ?1 AND state <> 3",
    [SQL_GONES] = "SELECT id FROM content WHERE state = 3 LIMIT 256",
    [SQL_TOUCH] = "UPDATE content SET used = (SELECT clock FROM space), tier = 1 WHERE id = ?1",
    [SQL_VICTIMS] = "SELECT c.id, c.state, c.hash, c.used, max(c.disk, ifnull(length(c.body), 0)) FROM content c"
                    " WHERE c.pinned = 0 AND c.state <> 3 AND c.tier = ?1 AND (c.used, c.id) > (?2, ?3) ORDER BY c.used, c.id LIMIT 64",
    [SQL_SPACE] = "SELECT disk, once, again, clock, notes, listings FROM space",
    [SQL_TICK] = "UPDATE space SET clock = clock + 1",
    [SQL_BY_HASH] = "SELECT " CANDIDATE " WHERE c.hash = ?1 AND c.size = ?2 AND c.state IN (1, 2) LIMIT 1",
    [SQL_BY_SIZE] = "SELECT " CANDIDATE " WHERE c.size = ?1 AND c.state = 2"
                    " AND CASE WHEN ?2 IS NULL THEN 1 WHEN ?2 = '' THEN c.md5 IS NULL ELSE v.etag = ?2 END"
                    " GROUP BY c.id",
    [SQL_HAS_SIZE] = "SELECT 1 FROM content WHERE size = ?1 AND state = 2 LIMIT 1",
    [SQL_SET_MD5] = "UPDATE content SET md5 = ?2 WHERE id = ?1 AND md5 IS NULL AND state IN (1, 2)",
    /* Not "OR REPLACE": that drops a row without its trigger. */
    [SQL_PUT_NOTE] = "INSERT INTO note(origin, key, etag, size, modified, guard, body, used)"
                     " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, (SELECT clock FROM space))"
                     " ON CONFLICT(origin, key) DO UPDATE SET etag = ?3, size = ?4, modified = ?5, guard = ?6, body = ?7,"
                     " used = excluded.used",
    [SQL_GET_NOTE] = "SELECT modified, guard, body, (SELECT clock FROM space) - used FROM note"
                     " WHERE origin = ?1 AND key = ?2 AND etag = ?3 AND size = ?4",
    [SQL_HAS_NOTE] = "SELECT 1 FROM note WHERE origin = ?1 AND key = ?2",
    [SQL_TOUCH_NOTE] = "UPDATE note SET used = (SELECT clock FROM space) WHERE origin = ?1 AND key = ?2",
    [SQL_TRIM_NOTES] = "DELETE FROM note WHERE (origin, key) IN (SELECT origin, key FROM note ORDER BY used LIMIT 16)",
    [SQL_DROP_NOTES] = "DELETE FROM note WHERE ?1 = '' OR key = ?1 OR (substr(key, 1, length(?1)) = ?1 AND"
                       " (substr(?1, -1) = '/' OR substr(key, length(?1) + 1, 1) = '/'))",
    [SQL_PUT_LISTING] = "INSERT INTO listing(origin, view, key, boot, taken, wall, guard, hint, body)"
                        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT(origin, view, key) DO UPDATE SET boot = ?4, taken = ?5,"
                        " wall = ?6, guard = ?7, hint = ?8, body = ?9"
                        " WHERE boot <> ?4 OR taken < ?5 OR taken > ?10",
    [SQL_HINT_LISTING] = "UPDATE listing SET hint = ?5 WHERE origin = ?1 AND view = ?2 AND key = ?3 AND taken = ?4",
    [SQL_GET_LISTING] = "SELECT boot, taken, wall, guard, hint, body FROM listing WHERE origin = ?1 AND view = ?2 AND key = ?3",
    [SQL_DROP_LISTING] = "DELETE FROM listing WHERE origin = ?1 AND view = ?2 AND key = ?3",
    [SQL_DROP_LISTINGS] = "DELETE FROM listing WHERE ?1 = '' OR key = ?1 OR (substr(key, 1, length(?1)) = ?1 AND"
                          " (substr(?1, -1) = '/' OR substr(key, length(?1) + 1, 1) = '/'))",
    [SQL_OTHER_LISTINGS] = "DELETE FROM listing WHERE boot <> ?1",
    [SQL_TRIM_LISTINGS] = "DELETE FROM listing WHERE id IN (SELECT id FROM listing ORDER BY taken LIMIT 16)",
    [SQL_PAGE] = "SELECT v.origin, v.key, v.etag, v.size, v.content, c.state, max(c.disk, ifnull(length(c.body), 0)), c.pinned,"
                 " o.name FROM version v JOIN content c ON c.id = v.content LEFT JOIN origin o ON o.id = v.origin"
                 " WHERE (v.origin, v.key, v.etag, v.size) > (?1, ?2, ?3, ?4) AND c.state < 3 AND v.origin <> 0"
                 " ORDER BY v.origin, v.key, v.etag, v.size LIMIT ?5",
    [SQL_PIN] = "UPDATE content SET pinned = ?2 WHERE id = ?1 AND state < 3 AND pinned <> ?2",
    [SQL_KEEP_PIN] = "UPDATE content SET pinned = 1 WHERE id = ?2 AND state < 3 AND (SELECT pinned FROM content WHERE id = ?1)",
    [SQL_MAY_GO] = "SELECT 1 FROM content WHERE id = ?1 AND state < 3 AND (pinned = 0 OR ?2)",
    [SQL_STATE] = "SELECT epoch, swept FROM state",
    [SQL_SWEPT] = "UPDATE state SET swept = 1",
    [SQL_STRAYS] = "SELECT DISTINCT content FROM version WHERE origin = 0 AND content > ?1 ORDER BY content LIMIT 64",
    [SQL_VERSION_CONTENT] = "SELECT content FROM version WHERE origin = ?1 AND key = ?2 AND etag = ?3 AND size = ?4",
    [SQL_DROP_STRAY] = "DELETE FROM version WHERE origin = 0 AND content = ?1",
    [SQL_KNOWN_HASH] = "SELECT id FROM content WHERE hash = ?1",
};
