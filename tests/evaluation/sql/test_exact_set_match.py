import json

import pytest

from flan_tune.errors import UserError
from flan_tune.evaluation.sql.exact_set_match import exact_set_match, keywords
from flan_tune.evaluation.sql.queries import Schema, SqlError, parse_query, read_schemas

TABLES = {
    'db_id': 'Harbours',
    'table_names_original': ['Ship', 'captain', 'visit'],
    'column_names_original': [
        [-1, '*'],
        [0, 'Ship_ID'],
        [0, 'Name'],
        [0, 'Tons'],
        [0, 'Crew'],
        [1, 'Captain_ID'],
        [1, 'Name'],
        [1, 'Age'],
        [1, 'Ship_ID'],
        [2, 'Ship_ID'],
        [2, 'Year'],
    ],
    'foreign_keys': [[8, 1], [9, 1]],
}


@pytest.fixture(scope='module')
def schema(tmp_path_factory) -> Schema:
    path = tmp_path_factory.mktemp('spider') / 'tables.json'
    path.write_text(json.dumps([TABLES]))
    return read_schemas(path)['harbours']


def test_schemas_are_read_with_one_name_for_the_columns_of_a_key(schema):
    assert schema.tables['visit'] == ('ship_id', 'year')
    assert schema.keys == {
        name: 'ship.ship_id' for name in ('ship.ship_id', 'captain.ship_id', 'visit.ship_id')
    }


SAME = [
    # Case, spaces, quotes, the final semicolon, values.
    ('select name from ship where tons > 5', "SELECT  Name FROM Ship WHERE Tons  >  7.5 ;"),
    ("select name from ship where name = 'a b'", 'select name from ship where name = "C"'),
    ('select name from ship where tons >= 5', 'select name from ship where tons > = -1'),
    ('select name from ship where tons != 5', 'select name from ship where tons <> 5'),
    # The order of what is selected and of conditions.
    ('select name, tons from ship', 'select tons, name from ship'),
    (
        'select name from ship where tons > 1 and crew < 2',
        'select name from ship where crew < 3 and tons > 4',
    ),
    ('select max(tons), min(crew) from ship', 'select min(crew), max(tons) from ship'),
    ('select count(*) from ship', 'select count ( * ) from ship'),
    # Aliases and names without a table; the order of joined tables; conditions of joins.
    (
        'select t1.name from ship as t1 join captain as t2 on t1.ship_id = t2.ship_id where t2.age > 3',
        'select a.name from captain as b join ship as a on b.ship_id = a.ship_id where age > 9',
    ),
    ('select ship.name from ship', 'select name from ship as x'),
    (
        'select t1.name from ship as t1 join captain as t2',
        'select t1.name from ship as t1 join captain as t2 on t1.ship_id = t2.ship_id',
    ),
    # A foreign key and what it refers to, where both tables are in FROM.
    (
        'select t1.ship_id from ship as t1 join visit as t2 on t1.ship_id = t2.ship_id group by t1.ship_id',
        'select t2.ship_id from ship as t1 join visit as t2 on t1.ship_id = t2.ship_id group by t2.ship_id',
    ),
    # DISTINCT, numbers behind LIMIT, and the direction that is meant.
    ('select distinct name from ship', 'select name from ship'),
    ('select count(distinct name) from ship', 'select count(name) from ship'),
    (
        'select name from ship order by tons limit 1',
        'select name from ship order by tons asc limit 3',
    ),
    ('select name from ship where tons between 1 and 2', 'select name from ship where tons between 3 and 4'),
    # Nested queries.
    (
        'select name from ship where tons > (select avg(tons) from ship where crew > 2)',
        'select name from ship where tons > ( select avg(tons) from ship where crew > 9 )',
    ),
    (
        'select count(*) from (select name from ship group by name having count(*) > 1)',
        'select count(*) from (select name from ship group by name having count(*) > 2)',
    ),
    # Set operations: each side by itself.
    (
        'select name from ship where tons > 1 intersect select name from ship where crew > 1',
        'select name from ship where tons > 3 intersect select name from ship where crew > 4',
    ),
    (
        'select name, tons from ship union select name, age from captain',
        'select tons, name from ship union select age, name from captain',
    ),
    ('select tons - crew from ship', 'select (tons - crew) from ship'),
    ('select sum(tons + crew) from ship', 'select sum (tons + crew) from ship'),
]  # fmt: skip

DIFFERENT = [
    ('select name from ship', 'select name from captain'),
    ('select name from ship', 'select name, tons from ship'),
    ('select name, name from ship', 'select name from ship'),
    ('select max(tons) from ship', 'select min(tons) from ship'),
    ('select max(tons) from ship', 'select tons from ship'),
    ('select tons - crew from ship', 'select crew - tons from ship'),
    ('select name from ship where tons > 1', 'select name from ship where tons >= 1'),
    ('select name from ship where tons > 1', 'select name from ship'),
    (
        'select name from ship where tons > 1 and crew > 2',
        'select name from ship where tons > 1 or crew > 2',
    ),
    ("select name from ship where name like 'a'", "select name from ship where name not like 'a'"),
    # A table more.
    (
        'select t1.name from ship as t1 join captain as t2 on t1.ship_id = t2.ship_id',
        'select name from ship',
    ),
    # A key without the table that it refers to.
    ('select ship_id from visit', 'select ship_id from ship'),
    ('select name from ship group by name', 'select name from ship group by tons'),
    ('select name from ship group by name, tons', 'select name from ship group by tons, name'),
    (
        'select name from ship group by name having count(*) > 1',
        'select name from ship group by name',
    ),
    (
        'select name from ship group by name having count(*) > 1',
        'select name from ship group by name having count(*) < 1',
    ),
    ('select name from ship order by tons', 'select name from ship order by tons desc'),
    ('select name from ship order by tons', 'select name from ship order by crew'),
    ('select name from ship order by tons, crew', 'select name from ship order by crew, tons'),
    ('select name from ship order by tons', 'select name from ship order by tons limit 1'),
    ('select name from ship', 'select name from ship limit 1'),
    (
        'select name from ship where ship_id in (select ship_id from visit)',
        'select name from ship where ship_id not in (select ship_id from visit)',
    ),
    (
        'select name from ship where ship_id in (select ship_id from visit)',
        'select name from ship where ship_id in (select ship_id from captain)',
    ),
    # Nested queries are compared in their order, DISTINCT and all.
    (
        'select name from ship where ship_id in (select ship_id from visit)',
        'select name from ship where ship_id in (select distinct ship_id from visit)',
    ),
    (
        'select name from ship where tons = (select max(tons) from ship)',
        'select name from ship where tons = 9',
    ),
    (
        'select name from ship union select name from captain',
        'select name from ship intersect select name from captain',
    ),
    (
        'select name from ship except select name from captain',
        'select name from captain except select name from ship',
    ),
    ('select name from ship union select name from captain', 'select name from ship'),
    ('select count(*) from (select name from ship)', 'select count(*) from ship'),
]


@pytest.mark.parametrize(('first', 'second'), SAME)
def test_queries_that_are_the_same(schema, first, second):
    assert exact_set_match(first, second, schema)
    assert exact_set_match(second, first, schema)


@pytest.mark.parametrize(('first', 'second'), DIFFERENT)
def test_queries_that_differ(schema, first, second):
    assert not exact_set_match(first, second, schema)
    assert not exact_set_match(second, first, schema)
    assert exact_set_match(first, first, schema)
    assert exact_set_match(second, second, schema)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', "select expected, not 'the end'"),
        ('There are five ships.', 'select expected'),
        ('select name', 'from expected'),
        ('select colour from ship', "no column 'colour' in ship"),
        ('select t1.age from ship as t1', "no column 't1.age' in ship"),
        ('select t3.name from ship as t1', "no column 't3.name' in t3"),
        ('select name from boat', "no table 'boat'"),
        ('select name from ship where', "a name expected, not 'the end'"),
        ('select name from ship where tons', 'between or = or >'),
        ("select name from ship where name = 'a", '"\'" is not expected'),
        ('select name from ship where tons > (select max(tons) from ship', r'\) expected'),
        ('select name from ship group tons', 'by expected'),
        ('select name from ship limit many', "a number expected, not 'many'"),
        ('select name from ship left join captain', "'left' behind the end"),
        ('select name from ship; select name from captain', "'select' behind the end"),
        ('select first(name) from ship', 'max or min'),
        ('select name from ship where name = france', "no column 'france'"),
    ],
)
def test_what_cannot_be_parsed(schema, text, message):
    with pytest.raises(SqlError, match=message):
        parse_query(text, schema)


def test_a_query_within_another_sees_the_tables_around_it(schema):
    inner = 'select * from visit where visit.ship_id = t1.ship_id'
    query = parse_query(
        f'select name from ship as t1 where 1 in ({inner})'.replace('1 in', 'tons in'), schema
    )
    (term,) = query.where.terms
    assert term.query.tables == ('visit',)
    with pytest.raises(SqlError, match="no column 't2.year'"):
        parse_query(
            'select t2.year from ship where tons > (select max(year) from visit as t2)', schema
        )


def test_keywords_are_the_clauses_and_kinds_of_condition(schema):
    text = (
        "select name from ship where name not like 'a' or ship_id in (select ship_id from visit) "
        'group by name having count(*) > 1 order by count(*) desc limit 3 union select name from captain'
    )
    assert keywords(parse_query(text, schema)) == set(
        ['where', 'not', 'like', 'or', 'in', 'group', 'having', 'order', 'desc', 'limit', 'union']
    )


@pytest.mark.parametrize(
    'text',
    ['{"db_id": "a"}', '[{"db_id": "a"}]', '[3]', '[{"db_id": "a", "table_names_original": []}]'],
)
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / 'tables.json'
    path.write_text(text)
    with pytest.raises(UserError, match=r'tables.json: no tables.json of Spider'):
        read_schemas(path)
