"""Spider's exact set match (Yu et al. 2018): two queries are the same if each of their clauses is, as a set, without values.

Of SELECT, WHERE and FROM the order does not matter; of GROUP BY, HAVING and ORDER BY it does. Columns that a foreign key
ties together are one where their tables are in FROM. DISTINCT, conditions of joins and numbers behind LIMIT are not compared.
A query that is an operand or a table is compared clause by clause in its order; both sides of a set operation by this
match again.
"""

import collections
import dataclasses

from flan_tune.evaluation.sql.queries import (
    SET_OPERATIONS,
    Column,
    Conditions,
    Query,
    Schema,
    Unit,
    parse_query,
)


def exact_set_match(predicted: str, gold: str, schema: Schema) -> bool:
    """Returns whether two queries are the same; raises SqlError for one that cannot be parsed."""
    return same_query(
        _unified(parse_query(predicted, schema), schema),
        _unified(parse_query(gold, schema), schema),
    )


def same_query(first: Query, second: Query) -> bool:
    """Returns whether two queries are the same by clauses, once columns of foreign keys have one name."""
    if _comparable(first) != _comparable(second):
        return False
    if first.other is None or second.other is None:
        return first.other is second.other
    return same_query(first.other, second.other)


def keywords(query: Query) -> frozenset[str]:
    """Returns which clauses and kinds of condition a query has."""
    conditions = (query.on, query.where, query.having)
    terms = [term for some in conditions for term in some.terms]
    found = {
        'where': query.where.terms,
        'group': query.group,
        'having': query.having.terms,
        'order': query.order,
        query.direction: query.direction,
        'limit': query.limit,
        'or': any('or' in some.connectors for some in conditions),
        'not': any(term.negated for term in terms),
        'in': any(term.operator == 'in' for term in terms),
        'like': any(term.operator == 'like' for term in terms),
        **{operation: query.set_operation == operation for operation in SET_OPERATIONS},
    }
    return frozenset(name for name, there in found.items() if there)


def _comparable(query: Query) -> tuple:
    """What two queries that are the same have in common, but for the second query of a set operation."""
    return (
        collections.Counter(query.select),
        collections.Counter(query.tables),
        collections.Counter(query.where.terms),
        frozenset(query.where.connectors),
        (query.group, query.having) if query.group else (),
        (query.order, query.direction, query.limit) if query.order else (),
        keywords(query),
    )


def _unified(query: Query, schema: Schema, tables: frozenset[str] | None = None) -> Query:
    """Gives the columns of foreign keys one name, of those in the tables of the (first) query; drops DISTINCT.

    Queries that are operands or tables stay as they are.
    """
    if tables is None:
        tables = frozenset(table for table in query.tables if isinstance(table, str))

    def column(one: Column | None) -> Column | None:
        if one is None:
            return None
        mine = one.name.partition('.')[0] in tables
        name = schema.keys.get(one.name, one.name) if mine else one.name
        return Column(name, one.aggregate)

    def unit(one: Unit) -> Unit:
        return dataclasses.replace(one, left=column(one.left), right=column(one.right))

    def conditions(some: Conditions) -> Conditions:
        terms = tuple(dataclasses.replace(term, unit=unit(term.unit)) for term in some.terms)
        return dataclasses.replace(some, terms=terms)

    return dataclasses.replace(
        query,
        select=tuple(map(unit, query.select)),
        distinct=False,
        on=conditions(query.on),
        where=conditions(query.where),
        group=tuple(map(column, query.group)),
        having=conditions(query.having),
        order=tuple(map(unit, query.order)),
        other=query.other and _unified(query.other, schema, tables),
    )
