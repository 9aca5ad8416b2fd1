"""Spider's SQL (Yu et al. 2018) as the clauses that its exact set match compares: parsed against a data base's schema.

The grammar is Spider's: SELECT with aggregates and sums of two columns, FROM tables or queries with JOIN … ON, WHERE, GROUP BY,
HAVING, ORDER BY, LIMIT, queries as operands of conditions, and INTERSECT, UNION or EXCEPT of two queries. Values are read
over: nothing that is compared holds them. Names are compared in lower case.
"""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence

from flan_tune.errors import UserError
from flan_tune.evaluation.files import read_json

ALL = '*'
AGGREGATES = ('max', 'min', 'count', 'sum', 'avg')
COMPARISONS = ('between', '=', '>', '<', '>=', '<=', '!=', 'in', 'like', 'is')
SET_OPERATIONS = ('intersect', 'union', 'except')
_ARITHMETIC = ('+', '-', '*', '/')
_CONNECTORS = ('and', 'or')
_CLAUSES = ('select', 'from', 'where', 'group', 'having', 'order', 'limit', *SET_OPERATIONS)
_RESERVED = {*_CLAUSES, *_CONNECTORS, 'join', 'on', 'as', 'by', 'not', 'asc', 'desc', 'distinct'}
_TOKEN = re.compile(r"""('[^']*'|"[^"]*")|([<>!]\s*=|<>|[=<>(),;*+/-])|([\w.]+)|(\S)""")


class SqlError(ValueError):
    """A text that is no query of the grammar over the schema; says why."""


@dataclasses.dataclass(frozen=True)
class Schema:
    """A data base.

    Attributes:
        tables: table -> its columns, in lower case.
        keys: 'table.column' of a foreign key, or of what it refers to -> the one that stands for all of them.
    """

    tables: Mapping[str, Sequence[str]]
    keys: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Column:
    """A column, 'table.column' or '*', with an aggregate ('' for none) around it."""

    name: str
    aggregate: str = ''
    distinct: bool = False


@dataclasses.dataclass(frozen=True)
class Unit:
    """A column, or two of them with an operator between; `aggregate` is around the whole."""

    left: Column
    operator: str = ''
    right: Column | None = None
    aggregate: str = ''


@dataclasses.dataclass(frozen=True)
class Condition:
    """A comparison; `query` is its operand where that is one, and None in the place of values."""

    unit: Unit
    operator: str
    negated: bool = False
    query: 'Query | None' = None


@dataclasses.dataclass(frozen=True)
class Conditions:
    """Comparisons in their order, and the 'and' or 'or' between each two."""

    terms: tuple[Condition, ...] = ()
    connectors: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Query:
    """A query by clauses.

    Attributes:
        select: what is selected, in order.
        distinct: SELECT DISTINCT.
        tables: names of tables, or queries, in the order of FROM.
        on: conditions of joins.
        where, having: conditions.
        group: columns of GROUP BY.
        order: units of ORDER BY.
        direction: 'asc' or 'desc', the last that ORDER BY names; '' without ORDER BY.
        limit: whether there is a LIMIT.
        set_operation: what joins it to `other`, or ''.
        other: the second query of a set operation.
    """

    select: tuple[Unit, ...]
    distinct: bool
    tables: tuple['str | Query', ...]
    on: Conditions = Conditions()
    where: Conditions = Conditions()
    group: tuple[Column, ...] = ()
    having: Conditions = Conditions()
    order: tuple[Unit, ...] = ()
    direction: str = ''
    limit: bool = False
    set_operation: str = ''
    other: 'Query | None' = None


def read_schemas(path: pathlib.Path) -> dict[str, Schema]:
    """Reads Spider's `tables.json`: data base -> schema.

    Raises:
        UserError: the file cannot be read, or is not laid out as Spider's.
    """
    try:
        return {entry['db_id'].lower(): _schema(entry) for entry in read_json(path)}
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise UserError(
            f'{path}: no tables.json of Spider (db_id, table_names_original, column_names_original, '
            f'foreign_keys): {error!r}'
        ) from error


def parse_query(text: str, schema: Schema) -> Query:
    """Returns a query by clauses; raises SqlError for a text that is none, or names what the schema does not have."""
    parser = _Parser(_tokens(text), schema)
    query = parser.query({})
    while parser.take(';'):
        pass
    if parser.here:
        raise SqlError(f'{parser.here!r} behind the end of the query')
    return query


def _schema(entry: Mapping) -> Schema:
    tables = [name.lower() for name in entry['table_names_original']]
    # The first column is '*', of no table.
    columns = [(place, name.lower()) for place, name in entry['column_names_original']]
    names = [f'{tables[place]}.{name}' if place >= 0 else ALL for place, name in columns]
    groups: list[set[int]] = []
    for pair in entry['foreign_keys']:
        touched = [group for group in groups if group & {*pair}]
        groups = [group for group in groups if group not in touched]
        groups.append({*pair}.union(*touched))
    return Schema(
        {
            table: tuple(name for of, name in columns if of == place)
            for place, table in enumerate(tables)
        },
        {names[key]: names[min(group)] for group in groups for key in group},
    )


def _tokens(text: str) -> list[str]:
    """Words in lower case, operators, and `'` for any quoted value."""
    found = []
    for quoted, operator, word, other in _TOKEN.findall(text):
        if other:
            raise SqlError(f'{other!r} is not expected')
        operator = '!=' if operator == '<>' else re.sub(r'\s', '', operator)
        found.append("'" if quoted else operator or word.lower())
    return found


class _Parser:
    """Recursive descent over tokens. A scope is alias or table -> table, of a query and those around it."""

    def __init__(self, tokens: Sequence[str], schema: Schema):
        self._tokens, self._schema = tokens, schema
        self._place = 0

    @property
    def here(self) -> str:
        return self._tokens[self._place] if self._place < len(self._tokens) else ''

    def take(self, *words: str) -> str:
        """Steps over one of the words and returns it; '' if none of them is here."""
        word = self.here
        if word and word in words:
            self._place += 1
            return word
        return ''

    def expect(self, *words: str) -> str:
        found = self.take(*words)
        if not found:
            raise SqlError(f'{" or ".join(words)} expected, not {self.here or "the end"!r}')
        return found

    def query(self, outer: Mapping[str, str]) -> Query:
        """A query, in parentheses or not, with what a set operation adds to it."""
        if self.take('('):
            query = self.query(outer)
            self.expect(')')
            return query
        self.expect('select')
        start = self._place
        # What is selected is read once the tables are known.
        depth = 0
        while self.here and (depth or self.here != 'from'):
            depth += {'(': 1, ')': -1}.get(self.here, 0)
            self._place += 1
        self.expect('from')
        scope, here, tables, on = self._tables(outer)
        behind, self._place = self._place, start
        distinct = bool(self.take('distinct'))
        select = self._listed(scope, here)
        self.expect('from')
        self._place = behind
        clauses = self._clauses(scope, here)
        if operation := self.take(*SET_OPERATIONS):
            clauses |= {'set_operation': operation, 'other': self.query(outer)}
        return Query(select, distinct, tables, on, **clauses)

    def _tables(
        self, outer: Mapping[str, str]
    ) -> tuple[dict[str, str], list[str], tuple[str | Query, ...], Conditions]:
        """What stands behind FROM: the scope, the tables that names without a table are looked for in, all, conditions."""
        aliases: dict[str, str] = {}
        here: list[str] = []
        tables: list[str | Query] = []
        pending: list[int] = []
        while True:
            if self.here == '(':
                tables.append(self.query(outer))
            else:
                table = self._table()
                alias = self._name() if self.take('as') else table
                aliases[alias] = table
                here.append(table)
                tables.append(table)
            if self.take('on'):
                pending.append(self._place)
                self._skip_conditions()
            if not self.take('join'):
                break
        scope = {**outer, **{table: table for table in here}, **aliases}
        behind, terms, connectors = self._place, [], []
        for place in pending:
            self._place = place
            some = self._conditions(scope, here)
            connectors += ['and'] * bool(terms) + list(some.connectors)
            terms += some.terms
        self._place = behind
        return scope, here, tuple(tables), Conditions(tuple(terms), tuple(connectors))

    def _skip_conditions(self) -> None:
        """Steps over join conditions, which may name tables further on."""
        depth = 0
        while self.here and (depth or self.here not in {*_CLAUSES, 'join', ')', ';'}):
            depth += {'(': 1, ')': -1}.get(self.here, 0)
            self._place += 1

    def _clauses(self, scope: Mapping[str, str], here: Sequence[str]) -> dict:
        found = {}
        if self.take('where'):
            found['where'] = self._conditions(scope, here)
        if self.take('group'):
            self.expect('by')
            found['group'] = (self._column(scope, here),)
            while self.take(','):
                found['group'] += (self._column(scope, here),)
        if self.take('having'):
            found['having'] = self._conditions(scope, here)
        if self.take('order'):
            self.expect('by')
            found['order'], found['direction'] = (self._unit(scope, here),), 'asc'
            while True:
                found['direction'] = self.take('asc', 'desc') or found['direction']
                if not self.take(','):
                    break
                found['order'] += (self._unit(scope, here),)
        if self.take('limit'):
            self._number()
            found['limit'] = True
        return found

    def _listed(self, scope: Mapping[str, str], here: Sequence[str]) -> tuple[Unit, ...]:
        units = [self._unit(scope, here)]
        while self.take(','):
            units.append(self._unit(scope, here))
        return tuple(units)

    def _conditions(self, scope: Mapping[str, str], here: Sequence[str]) -> Conditions:
        terms, connectors = [self._condition(scope, here)], []
        while connector := self.take(*_CONNECTORS):
            connectors.append(connector)
            terms.append(self._condition(scope, here))
        return Conditions(tuple(terms), tuple(connectors))

    def _condition(self, scope: Mapping[str, str], here: Sequence[str]) -> Condition:
        unit = self._unit(scope, here)
        negated = bool(self.take('not'))
        operator = self.expect(*COMPARISONS)
        query = self._operand(scope, here)
        if operator == 'between':
            self.expect('and')
            self._operand(scope, here)
        return Condition(unit, operator, negated, query)

    def _operand(self, scope: Mapping[str, str], here: Sequence[str]) -> Query | None:
        """Reads a value, a column, or a query, which alone is returned."""
        if self.here == '(' and self._tokens[self._place + 1 : self._place + 2] == ['select']:
            return self.query(scope)
        if self.take('('):
            self._operand(scope, here)
            self.expect(')')
        elif not self.take("'") and not self._numeric():
            self._column(scope, here)
        return None

    def _numeric(self) -> bool:
        start = self._place
        self.take('-', '+')
        try:
            self._number()
        except SqlError:
            self._place = start
            return False
        return True

    def _number(self) -> None:
        try:
            float(self.here)
        except ValueError as error:
            raise SqlError(f'a number expected, not {self.here!r}') from error
        self._place += 1

    def _unit(self, scope: Mapping[str, str], here: Sequence[str]) -> Unit:
        """`a`, `a + b`, `(a + b)`, `max(a)` or `sum(a + b)`."""
        if self.take('('):
            unit = self._unit(scope, here)
            self.expect(')')
            return unit
        if self.here in AGGREGATES and self._tokens[self._place + 1 : self._place + 2] == ['(']:
            start = self._place
            column = self._column(scope, here, strict=False)
            if column is None:  # An aggregate of a sum.
                self._place = start
                aggregate = self.take(*AGGREGATES)
                return dataclasses.replace(self._unit(scope, here), aggregate=aggregate)
        else:
            column = self._column(scope, here)
        if operator := self.take(*_ARITHMETIC):
            return Unit(column, operator, self._column(scope, here))
        return Unit(column)

    def _column(
        self, scope: Mapping[str, str], here: Sequence[str], strict: bool = True
    ) -> Column | None:
        """A column with or without an aggregate; not strict, None for an aggregate of more than a column."""
        aggregate = ''
        if self._tokens[self._place + 1 : self._place + 2] == ['(']:
            aggregate = self.expect(*AGGREGATES)
            self.expect('(')
        distinct = bool(self.take('distinct'))
        name = ALL if self.take(ALL) else self._resolved(self._name(), scope, here)
        if aggregate and not self.take(')'):
            if not strict:
                return None
            self.expect(')')
        return Column(name, aggregate, distinct)

    def _resolved(self, name: str, scope: Mapping[str, str], here: Sequence[str]) -> str:
        """Returns 'table.column'; a name without a table is of the first table of FROM that has it."""
        tables = self._schema.tables
        alias, dot, column = name.rpartition('.')
        candidates = [scope.get(alias, alias)] if dot else here
        for table in candidates:
            if column in tables.get(table, ()):
                return f'{table}.{column}'
        raise SqlError(f'no column {name!r} in {", ".join(candidates) or "no table"}')

    def _table(self) -> str:
        table = self._name()
        if table not in self._schema.tables:
            raise SqlError(f'no table {table!r}')
        return table

    def _name(self) -> str:
        name = self.here
        if not name or name in _RESERVED or not re.match(r'\w', name):
            raise SqlError(f'a name expected, not {name or "the end"!r}')
        self._place += 1
        return name
