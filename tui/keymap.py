"""The user's own keys: keymap.toml in the configuration folder.

    [walk]
    decide-accept = "ctrl+a"
    undo = "u backspace"

A key that another action of the same screen, of its list or text, or of the whole program has already keeps its first owner, and
that is said.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from textual.keys import _character_to_key

from tui.actions import ACTIONS, Action

NAME = "keymap.toml"
EVERYWHERE = ("app", "rows", "document")
ON_TOP = ("field", "form", "confirm", "approve", "help", "jump", "explain", "pick")
MAXIMUM_BYTES = 256 * 1024
Registry = Mapping[str, tuple[Action, ...]]


def read_keymap(path: Path) -> tuple[Registry, tuple[str, ...]]:
    """The actions with the keys of that file, and what is wrong with it in words. No file is no complaint."""
    try:
        if path.stat().st_size > MAXIMUM_BYTES:
            return ACTIONS, (f"{NAME} is too large to be a keymap",)
        wanted = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return ACTIONS, ()
    except (OSError, ValueError) as error:
        return ACTIONS, (f"{NAME} cannot be read: {error}",)
    complaints: list[str] = []
    changed = {scope: list(actions) for scope, actions in ACTIONS.items()}
    for scope, entries in wanted.items():
        if scope not in ACTIONS or not isinstance(entries, dict):
            complaints.append(f"{NAME}: there is no screen {scope!r}")
            continue
        names = {action.name: number for number, action in enumerate(ACTIONS[scope])}
        for name, keys in entries.items():
            if name not in names or not isinstance(keys, str) or not keys.split():
                complaints.append(f"{NAME}: {scope} has no action {name!r}" if name not in names else
                                  f"{NAME}: {scope}.{name} needs a key")  # fmt: skip
                continue
            changed[scope][names[name]] = dataclasses.replace(changed[scope][names[name]], keys=" ".join(keys.split()))
    without = {scope: tuple(_settled(scope, actions, changed, complaints)) for scope, actions in changed.items()}
    return without, tuple(complaints)


def _settled(
    scope: str, actions: list[Action], registry: Mapping[str, list[Action]], complaints: list[str]
) -> Iterator[Action]:
    """The actions of one screen, each key with one owner: what has it by default goes before what asks for it anew."""
    default = {action.run: action for action in ACTIONS[scope]}
    elsewhere = _elsewhere(scope, registry)
    kept = {key: action.title for action in actions if action == default[action.run] for key in action.keys.split()}
    for action in actions:
        if action == default[action.run]:
            yield action
            continue
        old = set(default[action.run].keys.split())
        free = []
        for key in action.keys.split():
            owner = kept.get(key) or (elsewhere.get(key) if key not in old else None)
            if owner:
                complaints.append(f"{NAME}: {scope}.{action.name} cannot have {key!r}: that is {owner!r}")
            else:
                free.append(key)
                kept[key] = action.title
        yield dataclasses.replace(action, keys=" ".join(free)) if free else default[action.run]


def _elsewhere(scope: str, registry: Mapping[str, list[Action]]) -> dict[str, str]:
    """Keys that would not arrive on a page, or would be taken from one: of the program, and of the list or the text on it, which
    has the keyboard. Something on top of a page has all keys for itself."""
    if scope in ON_TOP:
        scopes = ["app"]
    elif scope in EVERYWHERE:
        scopes = [name for name in registry if name != scope and name not in ON_TOP and name not in EVERYWHERE[1:]]
    else:
        scopes = list(EVERYWHERE)
    return {key: action.title for name in scopes for action in registry[name] for key in action.keys.split()}


def overrides(registry: Registry) -> dict[str, str]:
    """For Textual: the keys of every binding that differs from the default, by the binding's id."""
    return {
        action.id(scope): ",".join(_named(key) for key in action.keys.split())
        for scope, actions in registry.items()
        for action, default in zip(actions, ACTIONS[scope], strict=True)
        if action.keys != default.keys
    }


def _named(key: str) -> str:
    """As Textual names it: `?` is question_mark."""
    return _character_to_key(key) if len(key) == 1 else key


def template() -> str:
    """A keymap with every action, its present keys and what it does, all of it commented out."""
    lines = [
        "# Keys of pgsurveyor. Take the # away before a line to change it; several keys are separated by spaces.",
        "",
    ]
    for scope, actions in ACTIONS.items():
        lines.append(f"[{scope}]")
        lines += [f'# {action.name} = "{action.keys}"  # {action.title}' for action in actions]
        lines.append("")
    return "\n".join(lines)
