class ParseException(Exception): ...

class Link:
    href: str
    attr_pairs: list[tuple[str, str | None]]

class LinkHeader:
    links: list[Link]

def parse(header: str) -> LinkHeader: ...
