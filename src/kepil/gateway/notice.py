"""Word to the organisation of what was done on its application, in Kazakh, Russian and English (GW-16)."""

from __future__ import annotations

from kepil.gateway.category import Categories
from kepil.gateway.organisation import Organisation

_TEXT = {
    "kk": """\
{name} (БСН {bin})

{received} келіп түскен, {dated} күнгі өтінішіңіз бойынша (SHA-256 {sha256})
интернетке қол жеткізудің бірыңғай шлюзінде саясат қолданылды.

Қол жеткізу {first} бастап {last} қоса алғанда ашық. Одан әрі жаңа өтініш қажет.
Желілер: {networks}
Санаттар: {categories}
Қосымша қызметтер: {exceptions}
Шифрланған трафик талданады, мына санаттардан басқа: {exempt}.
""",
    "ru": """\
{name} (БИН {bin})

По Вашей заявке от {dated}, поступившей {received} (SHA-256 {sha256}),
на едином шлюзе доступа к интернету применена политика.

Доступ открыт с {first} по {last} включительно. Далее нужна новая заявка.
Сети: {networks}
Категории: {categories}
Дополнительные службы: {exceptions}
Зашифрованный трафик анализируется, кроме категорий: {exempt}.
""",
    "en": """\
{name} (BIN {bin})

On your application of {dated}, received on {received} (SHA-256 {sha256}),
the policy was applied on the unified internet access gateway.

Access is open from {first} to {last}, both included. After that a new application is needed.
Networks: {networks}
Categories: {categories}
Further services: {exceptions}
Encrypted traffic is analysed, except in these categories: {exempt}.
""",
}


def notice(organisation: Organisation, categories: Categories) -> str:
    """The notice, in the three languages one after the other."""
    exceptions = "; ".join(
        f"{each.service} ({', '.join(map(str, each.destinations))}, {each.protocol} {each.port})"
        for each in organisation.exceptions
    )
    return "\n".join(
        text.format(
            name=organisation.name,
            bin=organisation.bin,
            received=organisation.application.received,
            dated=organisation.application.dated,
            sha256=organisation.application.sha256,
            first=organisation.valid_from,
            last=organisation.valid_until,
            networks=", ".join(map(str, organisation.networks)),
            categories=_titles(organisation.categories, categories, language),
            exceptions=exceptions or "–",
            exempt=_titles(sorted(categories.exempt), categories, language),
        )
        for language, text in _TEXT.items()
    )


def _titles(names: tuple[str, ...] | list[str], categories: Categories, language: str) -> str:
    return ", ".join(categories.by_name[name].title[language] for name in names)  # type: ignore[index]
