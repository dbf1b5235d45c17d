from __future__ import annotations

import time
from textwrap import dedent

import pytest

from checks.evidence.repository.facts import CodeStatement
from checks.evidence.repository.files import SourceFile, is_test
from checks.evidence.repository.statements import read_statements

LANGUAGES = ["go", "rb", "java", "kt", "rs", "php", "cs"]


def found(extension: str, code: str, path: str = "src/store") -> list[CodeStatement]:
    return read_statements(SourceFile(f"{path}.{extension}", code, extension))


def read(extension: str, code: str) -> list[tuple[int, str, int]]:
    """Line, text and holes of each statement."""
    return [(s.location.line, " ".join(s.text.split()), s.holes) for s in found(extension, dedent(code))]


def test_go() -> None:
    code = """\
        package store
        const columns = "id, name"
        const byName = "SELECT " + columns + ` FROM users WHERE name = $1`
        const page = byName + " LIMIT 5"
        func f() {
            db.Query(fmt.Sprintf("SELECT id FROM %s WHERE a = '%s' AND b > %d AND c LIKE '%%x'", table, a, b))
            db.Get(&u, "SELECT id FROM users WHERE a = :name AND b = @b AND c=@c")
            label := "Select a file from the list"
        }
        """
    assert read("go", code) == [
        (3, "SELECT id, name FROM users WHERE name = $1", 0),
        (4, "SELECT id, name FROM users WHERE name = $1 LIMIT $2", 0),
        (6, "SELECT id FROM $1 WHERE a = $2 AND b > $3 AND c LIKE $4", 3),
        (7, "SELECT id FROM users WHERE a = $1 AND b = $2 AND c= $3", 0),
    ]


def test_ruby() -> None:
    code = """\
        class Report
          TABLE = "users".freeze
          QUERY = "SELECT id FROM #{TABLE} WHERE a = ?"
          WIDE = <<~SQL.squish
            -- all of them
            SELECT id
            FROM #{kind}_items WHERE b = 1
          SQL
          def self.run(a)
            find_by_sql(["select id " \\
              "from users where a = :a", { a: a }])
            connection.exec_query(<<-SQL, "name", [a])
              DELETE FROM users WHERE a = $1
            SQL
            connection.execute(%(select id from parts where a = 1))
            execute("UPDATE users SET a = '%s' WHERE id = %d" % [a, 1])
          end
        end
        """
    assert read("rb", code) == [
        (3, "SELECT id FROM users WHERE a = $1", 0),
        (6, "SELECT id FROM $1 WHERE b = $2", 1),
        (10, "select id from users where a = $1", 0),
        (13, "DELETE FROM users WHERE a = $1", 0),
        (15, "select id from parts where a = $1", 0),
        (16, "UPDATE users SET a = $1 WHERE id = $2", 2),
    ]


def test_java() -> None:
    code = '''\
        import org.springframework.data.jpa.repository.Query;
        interface Users {
            static final String TABLE = "users";
            @Query(value = """
                select id from users
                where a = :a and b = ?1 or c = ?1""", nativeQuery = true)
            List<Long> native(String a);
            @Query("SELECT u FROM User u WHERE u.email = :email")
            User entity(String email);
            default void f() {
                jdbcTemplate.query("SELECT id FROM " + TABLE + " WHERE x = ? ORDER BY " + order, mapper);
                manager.createQuery("SELECT u FROM User u WHERE u.x = 1");
                manager.createNativeQuery(String.format("SELECT a FROM %s", table));
            }
        }
        @NamedQuery(name = "x", query = "SELECT u FROM User u")
        @NamedNativeQuery(name = "y", query = "SELECT id FROM users")
        class Entity {}
        '''
    assert read("java", code) == [
        (5, "select id from users where a = $1 and b = $2 or c = $2", 0),
        (11, "SELECT id FROM users WHERE x = $1 ORDER BY $2", 1),
        (13, "SELECT a FROM $1", 1),
        (17, "SELECT id FROM users", 0),
    ]
    jdbc = 'import org.springframework.data.jdbc.repository.query.Query;\ninterface A { @Query("SELECT id FROM users") int f(); }'
    assert read("java", jdbc) == [(2, "SELECT id FROM users", 0)]


def test_kotlin() -> None:
    code = '''\
        class Store {
            companion object {
                const val TABLE = "users"
                const val ALL = "SELECT id FROM $TABLE WHERE a = ${a} AND b = :b"
            }
            fun f() {
                val one = """
                    |SELECT id
                    |FROM users WHERE a = '$a'
                """.trimMargin()
            }
        }
        '''
    assert read("kt", code) == [
        (4, "SELECT id FROM users WHERE a = $1 AND b = $2", 1),
        (8, "SELECT id FROM users WHERE a = $1", 1),
    ]


def test_rust() -> None:
    code = """\
        const ALL: &str = "SELECT \\
            id FROM users";
        async fn f() {
            sqlx::query!(r#"SELECT id AS "id!" FROM users WHERE a = $1"#, a);
            sqlx::query_as!(User, "SELECT id " + "FROM users WHERE b = $1", b);
            sqlx::query(&format!("SELECT id FROM {} WHERE a = {a} AND b = '{{}}'", table));
            diesel::sql_query(concat!("SELECT id ", "FROM users"));
        }
        #[cfg(test)]
        mod tests {
            fn g() { sqlx::query("SELECT id FROM tested"); }
        }
        """
    assert read("rs", code) == [
        (1, "SELECT id FROM users", 0),
        (4, 'SELECT id AS "id!" FROM users WHERE a = $1', 0),
        (5, "SELECT id FROM users WHERE b = $1", 0),
        (6, "SELECT id FROM $1 WHERE a = $2 AND b = $3", 2),
        (7, "SELECT id FROM users", 0),
    ]


def test_php() -> None:
    code = """\
        <?php
        class Store {
            const TABLE = 'users';
            function f() {
                $one = "SELECT id FROM $table WHERE a = {$this->b} AND c = :c";
                DB::select(<<<SQL
                    select id
                    from users where a = ?
                    SQL, [1]);
                $two = 'SELECT id FROM ' . self::TABLE . " WHERE b = " . $b;
                $pdo->query(sprintf("SELECT id FROM %s", $x));
                $this->createQuery("SELECT u FROM User u");
            }
        }
        """
    assert read("php", code) == [
        (5, "SELECT id FROM $1 WHERE a = $2 AND c = $3", 2),
        (7, "select id from users where a = $1", 0),
        (10, "SELECT id FROM users WHERE b = $1", 1),
        (11, "SELECT id FROM $1", 1),
    ]


def test_csharp() -> None:
    code = '''\
        class Store {
            const string Table = "users";
            void F() {
                new NpgsqlCommand(@"SELECT ""id""
                    FROM users WHERE a = @a");
                connection.Query<User>($"SELECT id FROM {Table} WHERE b = {b}");
                context.Users.FromSqlInterpolated($"SELECT id FROM users WHERE b = {b}");
                var raw = """
                    DELETE FROM users
                    """;
            }
        }
        '''
    assert read("cs", code) == [
        (4, 'SELECT "id" FROM users WHERE a = $1', 0),
        (6, "SELECT id FROM users WHERE b = $1", 1),
        (7, "SELECT id FROM users WHERE b = $1", 0),
        (9, "DELETE FROM users", 0),
    ]


def test_what_a_builder_of_strings_goes_on_with_is_a_hole() -> None:
    code = """\
        class A {
            void f() {
                var a = new StringBuilder("SELECT id FROM users ").append(where);
                a.append("SELECT id FROM posts WHERE a = ?");
            }
        }
        """
    assert read("java", code) == [(3, "SELECT id FROM users $1", 1), (4, "SELECT id FROM posts WHERE a = $1 $2", 1)]


def test_files_of_queries_name_their_statements() -> None:
    sqlc = (
        "-- name: GetUser :one\nSELECT sqlc.embed(users) FROM users WHERE id = sqlc.arg(id) AND a = sqlc.narg('a');\n"
    )
    pugsql = "\n-- :name drop_user :affected\nDELETE FROM users WHERE id = :id;\n"
    assert [(s.name, s.location.line, s.text) for s in found("sql", sqlc + pugsql, "db/query")] == [
        ("GetUser", 2, "SELECT users.* FROM users WHERE id = $1 AND a = $2"),
        ("drop_user", 5, "DELETE FROM users WHERE id = $1"),
    ]
    assert [s.name for s in found("sql", "SELECT id FROM users", "db/query")] == [None]


@pytest.mark.parametrize("extension", LANGUAGES)
@pytest.mark.parametrize(
    "code",
    [
        '"SELECT id FROM users', "x = '", '"""SELECT 1 FROM', "<<~SQL\nSELECT id FROM users", "\ufffd SELECT", "\x01\x02\udcff",
        "(" * 10_000 + '"SELECT a FROM b"', 'q = "SELECT a FROM b" + ' * 10_000 + "x", '"SELECT ' + "(" * 10_000 + '1 FROM b"',
        '"SELECT a FROM b WHERE ' + "x = 'y' AND " * 5_000 + 'z"', '"SELECT #{${{' * 3_000, '$"SELECT {$"SELECT {' * 1_000,
        "const A = A + \"SELECT a FROM b\"\nconst B = \"SELECT\" + C\nconst C = B", "'" + "SELECT " * 100_000 + "'",
    ],
    ids=range(14),
)  # fmt: skip
def test_hostile_code_never_crashes_or_hangs(code: str, extension: str) -> None:
    started = time.process_time()
    found(extension, code)
    found(extension, "<?php\n" + code)
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("store/users_test.go", True),
        ("spec/models/user_spec.rb", True),
        ("src/test/java/UserIT.java", True),
        ("app/UserTests.cs", True),
        ("App.IntegrationTests/Users.cs", True),
        ("app/Latest.php", False),
        ("app/Edit.cs", False),
        ("store/contest.go", False),
    ],
)
def test_tests_of_every_language_are_told_by_their_path(path: str, expected: bool) -> None:
    assert is_test(path) is expected
