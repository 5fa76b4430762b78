"""Units of measure under all their names: `km/h`, `kilometers per hour` and `kmph` are one."""

import re

# One unit to a semicolon or line, under the name that stands first. A plural s is dropped before
# the look-up, hence inche and centurie.
_NAMES = """
mm millimeter millimetre; cm centimeter centimetre; m meter metre; km kilometer kilometre
inch in inche; foot ft feet; yard yd; mile mi
mg milligram; g gram gm; kg kilogram; ton tonne; pound lb; ounce oz
ms millisecond; s sec second; min minute; h hr hour; day; week; month; year yr
decade; century centurie
ml milliliter millilitre; l liter litre; gallon gal; cup; acre; hectare ha
dollar usd; cent; euro eur; rupee; yuan; yen; degree deg; radian rad; celsius; fahrenheit; kelvin k
n newton; j joule; kj kilojoule; w watt; kw kilowatt; v volt; pa pascal; hz hertz; ev
mol mole; ohm; amp ampere
am; pm; percent
"""
_UNIT = {
    alias: names.split()[0]
    for names in re.split("[;\n]", _NAMES.strip())
    for alias in names.split()
}
_WHOLE = {"mph": "mile/h", "kmph": "km/h", "kph": "km/h", "kmh": "km/h", "cc": "cm^3"}
_PART = re.compile(
    r"""
      (?P<over> / | per\b )
    | (?P<before> (?:square|sq|cubic|cu)\b )
    | (?P<after> squared | cubed | \^\{?(?P<exponent>-?\d)\}? )
    | (?P<name> [a-z]+ )
    | (?P<nothing> [\s.]+ )
    | (?P<unknown> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_POWER = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}


def is_unit(word: str) -> bool:
    """Whether a word is the name of a unit."""
    return _unit(word) is not None


def same_words(left: str, right: str) -> bool:
    """Whether both are names of the same unit."""
    unit = _unit(left)
    return unit is not None and unit == _unit(right)


def same_counted(left: str, right: str) -> bool:
    """Whether two numbers count the same: a unit, or things that share a word; `units` fit all."""
    words = _singulars(left), _singulars(right)
    if any("unit" in said for said in words):
        return True

    # Apples are compared by their name, since they are no unit.
    units = [_unit(left), _unit(right)]
    return bool(words[0] & words[1]) if None in units else units[0] == units[1]


def _singulars(text: str) -> set[str]:
    return {word.lower().removesuffix("s") for word in re.findall("[A-Za-z]+", text)}


def _unit(text: str) -> dict[str, int] | None:
    """Each base unit with its exponent; None where a word is not known."""
    text = re.sub(r"degrees?\s+(?=celsius|fahrenheit)", "", text.lower()).strip()

    # 2 (mod 9) is a residue, and differs from 2 (mod 7) as a unit does.
    if text.startswith("mod "):
        return {text: 1}

    found: dict[str, int] = {}
    over = power = 1
    last = ""
    for part in _PART.finditer(_WHOLE.get(text, text)):
        if part["over"]:
            over = -1  # for all that follows: J / kg K
        elif part["before"]:
            power = _POWER[part["before"]]
        elif part["after"] and last:
            found[last] *= int(part["exponent"] or _POWER[part["after"]])
        elif part["name"] and (last := _named(part["name"])):
            found[last] = over * power
            power = 1
        elif not part["nothing"]:
            return None

    return found or None


def _named(word: str) -> str:
    """The unit of this name, in the plural too; an empty text for any other word."""
    return _UNIT.get(word) or _UNIT.get(word.removesuffix("s")) or ""
