"""The shop's own database: what the pipeline reads from and writes back to. It is no part of the data lake.

    python shop.py start [--scale 1.0]   start PostgreSQL, fill it at the first time, print its address as JSON
    python shop.py add-day [--days 1]    the next day's business: new orders, returns, customers, rates
    python shop.py break / mend          rename a column that the join needs, and back
    python shop.py counts | psql-url | stop | delete

The data is made by a seeded generator, the same on every machine: 12,000 people, 200,000 orders at scale 1, with
heavy repeat buyers, returns, four currencies with daily rates, people who move house, and people who registered twice
with different spellings of one e-mail address.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from millpond.errors import MillpondError
from millpond.testing.postgres import Postgres

HERE = Path(__file__).resolve().parent
DATABASE = "shop"
TABLES = (
    "crm.customers",
    "crm.addresses",
    "sales.products",
    "sales.orders",
    "sales.order_items",
    "sales.returns",
    "sales.exchange_rates",
)
FIRST_DAY = dt.date(2024, 11, 1)
DAYS = 730
CURRENCIES = {"EUR": (1.0, 0.62), "USD": (0.92, 0.2), "GBP": (1.17, 0.12), "CHF": (1.04, 0.06)}
COUNTRIES = (("DE", "Berlin"), ("DE", "Köln"), ("FR", "Lyon"), ("IT", "Torino"), ("GB", "Leeds"), ("CH", "Zürich"))
CATEGORIES = ("books", "garden", "kitchen", "music", "sport", "toys")
FIRST = [
    "Ada",
    "Bruno",
    "Clara",
    "Dmitri",
    "Elif",
    "Farid",
    "Greta",
    "Hugo",
    "Inês",
    "Jonas",
    "Katya",
    "Liam",
    "Mina",
    "Noor",
    "Omar",
    "Paula",
]
LAST = [
    "Abel",
    "Brandt",
    "Costa",
    "Dubois",
    "Evans",
    "Ferrari",
    "Gruber",
    "Haas",
    "Ivanov",
    "Jansen",
    "Keller",
    "López",
    "Müller",
    "Novak",
    "Okafor",
]

SCHEMA = """
CREATE SCHEMA crm;
CREATE SCHEMA sales;
CREATE TABLE crm.customers (
    customer_id integer PRIMARY KEY, full_name varchar(80) NOT NULL, email varchar(120) NOT NULL,
    registered_at timestamp NOT NULL, newsletter boolean NOT NULL);
CREATE TABLE crm.addresses (
    address_id integer PRIMARY KEY, customer_id integer NOT NULL REFERENCES crm.customers, country char(2) NOT NULL,
    city varchar(60) NOT NULL, valid_from date NOT NULL, valid_to date);
CREATE TABLE sales.products (
    product_id integer PRIMARY KEY, sku varchar(20) NOT NULL UNIQUE, category varchar(20) NOT NULL,
    list_price numeric(10,2) NOT NULL);
CREATE TABLE sales.orders (
    order_id bigint PRIMARY KEY, customer_id integer NOT NULL REFERENCES crm.customers, ordered_at timestamp NOT NULL,
    currency char(3) NOT NULL, channel varchar(10) NOT NULL);
CREATE TABLE sales.order_items (
    order_item_id bigint PRIMARY KEY, order_id bigint NOT NULL REFERENCES sales.orders,
    product_id integer NOT NULL REFERENCES sales.products, quantity integer NOT NULL,
    unit_price numeric(10,2) NOT NULL);
CREATE TABLE sales.returns (
    return_id bigint PRIMARY KEY, order_item_id bigint NOT NULL REFERENCES sales.order_items,
    returned_at timestamp NOT NULL, quantity integer NOT NULL, reason varchar(40));
CREATE TABLE sales.exchange_rates (
    rate_date date NOT NULL, currency char(3) NOT NULL, eur_rate numeric(12,6) NOT NULL,
    PRIMARY KEY (rate_date, currency));
CREATE TABLE crm.shop_state (orders_a_day integer NOT NULL, last_day date NOT NULL);
"""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="shop.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, default=HERE / ".shop", help="where the database lives")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("start", help="start, fill at the first time, print the address").add_argument(
        "--scale", type=float, default=1.0, help="1.0 is 200,000 orders; used at the first start only"
    )
    commands.add_parser("add-day", help="add the next day's rows").add_argument("--days", type=int, default=1)
    commands.add_parser("break", help="rename crm.addresses.valid_from to valid_since")
    commands.add_parser("mend", help="rename it back")
    commands.add_parser("counts", help="rows of every table, as JSON")
    commands.add_parser("psql-url", help="print a URL for psql, password included")
    commands.add_parser("stop", help="stop the server; the data stay")
    commands.add_parser("delete", help="stop the server and delete the data")
    options = parser.parse_args(arguments)
    try:
        answer = run(options, Postgres(options.folder))
    except MillpondError as error:
        print(f"shop.py: {error}{f' ({error.help})' if error.help else ''}", file=sys.stderr)
        return 2
    if answer is not None:
        print(answer if isinstance(answer, str) else json.dumps(answer))
    return 0


def run(options: argparse.Namespace, server: Postgres) -> Any:
    """Do one command; what it returns is printed."""
    if options.command in ("stop", "delete"):
        return getattr(server, options.command)()
    server.start()
    if options.command == "start":
        fill(server, options.scale)
        secret = {"username": server.server.user, "password": server.server.password}
        return {"ShopJdbcUrl": server.jdbc_url(DATABASE), "ShopSecret": json.dumps(secret)}
    if options.command == "psql-url":
        return server.url(DATABASE)
    with psycopg.connect(server.url(DATABASE)) as db:
        match options.command:
            case "add-day":
                return add_days(db, options.days)
            case "break":
                db.execute("ALTER TABLE crm.addresses RENAME COLUMN valid_from TO valid_since")
            case "mend":
                db.execute("ALTER TABLE crm.addresses RENAME COLUMN valid_since TO valid_from")
            case "counts":
                return counts(db)
    return None


def counts(db: psycopg.Connection) -> dict[str, int]:
    """Rows of each table."""
    return {table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}  # type: ignore[index]


def fill(server: Postgres, scale: float) -> None:
    """Make and fill the database unless it is there."""
    server.create_database(DATABASE)
    with psycopg.connect(server.url(DATABASE)) as db:
        if db.execute("SELECT to_regclass('crm.shop_state')").fetchone() != (None,):
            return
        print(f"filling the shop at scale {scale:g} ...", file=sys.stderr, flush=True)
        random = np.random.default_rng(20241101)
        orders_a_day = max(1, round(200_000 * scale / DAYS))
        db.execute(SCHEMA)
        people = max(20, round(12_000 * scale))
        copy(db, "crm.customers", customers(random, 1, people, FIRST_DAY))
        copy(db, "crm.addresses", addresses(random, 1, 1, people))
        copy(db, "sales.products", products(random))
        copy(db, "sales.exchange_rates", rates(random, FIRST_DAY, DAYS))
        total = round(200_000 * scale)
        trade(db, random, FIRST_DAY, DAYS, max(1, total))
        last = FIRST_DAY + dt.timedelta(days=DAYS - 1)
        db.execute("INSERT INTO crm.shop_state VALUES (%s, %s)", (orders_a_day, last))
        db.commit()
        db.autocommit = True
        db.execute("ANALYZE")


def add_days(db: psycopg.Connection, days: int) -> dict[str, int]:
    """The next `days` days of business; returns the new rows of each table."""
    before = counts(db)
    for _ in range(days):
        row = db.execute("SELECT orders_a_day, last_day FROM crm.shop_state").fetchone()
        assert row is not None
        day = row[1] + dt.timedelta(days=1)
        random = np.random.default_rng(day.toordinal())
        known = db.execute("SELECT max(customer_id), (SELECT max(address_id) FROM crm.addresses) FROM crm.customers")
        first, address = (value + 1 for value in known.fetchone())  # type: ignore[union-attr]
        copy(db, "crm.customers", customers(random, first, 3, day))
        copy(db, "crm.addresses", addresses(random, address, first, 3, day))
        copy(db, "sales.exchange_rates", rates(random, day, 1))
        trade(db, random, day, 1, row[0])
        db.execute("UPDATE crm.shop_state SET last_day = %s", (day,))
    after = counts(db)
    return {table: after[table] - before[table] for table in TABLES}


def copy(db: psycopg.Connection, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    with db.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as target:
        for row in rows:
            target.write_row(row)


def customers(random: np.random.Generator, first: int, count: int, day: dt.date) -> Iterator[tuple[Any, ...]]:
    """About one in twelve is an earlier customer again, with the e-mail address spelled another way."""
    spellings = (
        str.upper,
        str.title,
        lambda email: f" {email} ",
        lambda email: f"{email} ".replace("example", "Example"),
    )
    emails: list[str] = []
    for number in range(first, first + count):
        name = f"{FIRST[random.integers(len(FIRST))]} {LAST[random.integers(len(LAST))]}"
        email = f"{name.lower().replace(' ', '.')}.{number}@example.{('com', 'org', 'net')[number % 3]}"
        if emails and random.random() < 0.08:
            email = spellings[random.integers(4)](emails[random.integers(len(emails))])
        else:
            emails.append(email)
        registered = dt.datetime.combine(day, dt.time()) - dt.timedelta(minutes=int(random.integers(0, 500_000)))
        yield number, name, email, registered, bool(random.random() < 0.4)


def addresses(
    random: np.random.Generator, first: int, first_customer: int, count: int, day: dt.date | None = None
) -> Iterator[tuple[Any, ...]]:
    """Everybody lives somewhere from the beginning; a quarter moves once or twice."""
    number = first
    for customer in range(first_customer, first_customer + count):
        since, moves = dt.date(2020, 1, 1), int(random.choice([0, 0, 0, 1, 2])) if day is None else 0
        for move in range(moves + 1):
            country, city = COUNTRIES[random.integers(len(COUNTRIES))]
            until = FIRST_DAY + dt.timedelta(days=int(random.integers(move * 240 + 1, move * 240 + 240)))
            last = move == moves
            yield number, customer, country, city, since, None if last else until
            number, since = number + 1, until


def products(random: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for number in range(1, 401):
        price = round(float(random.lognormal(3.0, 0.8)) + 1, 2)
        yield number, f"SKU-{number:05d}", CATEGORIES[number % len(CATEGORIES)], price


def rates(random: np.random.Generator, day: dt.date, days: int) -> Iterator[tuple[Any, ...]]:
    for offset in range(days):
        for currency, (rate, _) in CURRENCIES.items():
            wobble = (
                1.0 if currency == "EUR" else 1 + 0.03 * float(np.sin(offset / 40)) + float(random.normal(0, 0.004))
            )
            yield day + dt.timedelta(days=offset), currency, round(rate * wobble, 6)


def trade(db: psycopg.Connection, random: np.random.Generator, day: dt.date, days: int, orders: int) -> None:
    """Orders over `days` days in the order of their time, with their items and some returns."""
    people, order, item, returned = db.execute(
        "SELECT (SELECT max(customer_id) FROM crm.customers), (SELECT coalesce(max(order_id), 0) FROM sales.orders), "
        "(SELECT coalesce(max(order_item_id), 0) FROM sales.order_items), "
        "(SELECT coalesce(max(return_id), 0) FROM sales.returns)"
    ).fetchone()  # type: ignore[misc]
    seconds = np.sort(random.integers(0, days * 86_400, orders))
    # A Pareto tail: few people buy very often, a fifth never. Shuffled so that the id says nothing.
    weights = np.random.default_rng(7).permutation(np.where(np.arange(people) < people // 5, 0, 1.0))
    weights *= np.minimum(np.random.default_rng(8).pareto(1.3, people), 40) + 0.1
    buyers = random.choice(people, orders, p=weights / weights.sum()) + 1
    currencies = random.choice(list(CURRENCIES), orders, p=[share for _, share in CURRENCIES.values()])
    baskets = np.minimum(random.geometric(0.45, orders), 8)
    prices = dict(db.execute("SELECT product_id, list_price FROM sales.products").fetchall())
    start = dt.datetime.combine(day, dt.time())
    moments = [start + dt.timedelta(seconds=int(second)) for second in seconds]
    channels = random.choice(["web", "app", "store"], orders, p=[0.55, 0.35, 0.1])
    copy(
        db,
        "sales.orders",
        (
            (order + 1 + index, int(buyers[index]), moments[index], str(currencies[index]), str(channels[index]))
            for index in range(orders)
        ),
    )
    owner = np.repeat(np.arange(orders), baskets)
    goods = np.minimum(random.geometric(0.012, len(owner)), len(prices))
    quantities = np.minimum(random.geometric(0.7, len(owner)), 9)
    copy(
        db,
        "sales.order_items",
        (
            (
                item + 1 + index,
                order + 1 + int(owner[index]),
                int(goods[index]),
                int(quantities[index]),
                prices[goods[index]],
            )
            for index in range(len(owner))
        ),
    )
    sent_back = np.flatnonzero(random.random(len(owner)) < 0.06)
    copy(
        db,
        "sales.returns",
        (
            (
                returned + 1 + number,
                item + 1 + int(index),
                moments[owner[index]] + dt.timedelta(days=int(random.integers(1, 20))),
                int(random.integers(1, quantities[index] + 1)),
                ("too small", "broken", "not liked", None)[int(random.integers(4))],
            )
            for number, index in enumerate(sent_back)
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
