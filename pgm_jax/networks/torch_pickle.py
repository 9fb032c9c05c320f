"""Pickles of state dicts, built step by step from the few steps that such a dict needs.

A pickle is a program for a stack machine. pickle's own machine can be made to call, to grow and to hang in many ways;
this one makes only numbers, words, lists, tuples, dicts and what `call` and `load` return. A step adds one small object
at most, and the steps are counted.
"""

import pickletools
from collections.abc import Callable
from typing import Any

_MOST_STEPS = 1_000_000  # a tensor takes some 30, and a parameter of Adam's two more tensors

_NUMBERS_AND_WORDS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class Named(str):
    """What a pickle calls by its module and name, as "torch.FloatStorage"; nothing is imported."""


def read_pickle(
    program: bytes, load: Callable[[tuple], Any], call: Callable[[Named, tuple], Any], known: frozenset[str]
) -> Any:
    """What a pickle of protocol 2 describes.

    Args:
        program: the pickle.
        load: makes what a persistent id stands for.
        call: makes what the call of a name returns, from its arguments.
        known: the names that may occur.

    Raises:
        ValueError: if the pickle takes more steps than that of a state dict, or one that such a dict does not need, or
            is damaged.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[Any, Any] = {}
    try:
        for index, (step, argument, _) in enumerate(pickletools.genops(program)):
            if index == _MOST_STEPS:
                raise ValueError(f"its data.pkl takes more than {_MOST_STEPS} steps: save its state_dict() alone")
            name: str = step.name
            if name in _NUMBERS_AND_WORDS:
                stack.append(argument)
            elif name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            elif name in ("BINPUT", "LONG_BINPUT"):
                memo[argument] = stack[-1]
            elif name in ("BINGET", "LONG_BINGET"):
                stack.append(memo[argument])
            elif name == "MARK":
                marks.append(len(stack))
            elif name == "EMPTY_DICT":
                stack.append({})
            elif name == "EMPTY_LIST":
                stack.append([])
            elif name == "TUPLE":
                stack.append(tuple(_popped(stack, marks.pop())))
            elif name in _TUPLES:
                stack.append(tuple(_popped(stack, len(stack) - _TUPLES[name])))
            elif name in ("APPEND", "APPENDS"):
                items = _popped(stack, len(stack) - 1 if name == "APPEND" else marks.pop())
                _last(stack, list).extend(items)
            elif name in ("SETITEM", "SETITEMS"):
                items = _popped(stack, len(stack) - 2 if name == "SETITEM" else marks.pop())
                _set(_last(stack, dict), items)
            elif name == "GLOBAL":
                stack.append(_named(argument, known))
            elif name == "BINPERSID":
                stack.append(load(stack.pop()))
            elif name == "REDUCE":
                function, arguments = _popped(stack, len(stack) - 2)
                if not isinstance(function, Named) or not isinstance(arguments, tuple):
                    raise ValueError("it calls what is no function")
                stack.append(call(function, arguments))
            elif name == "BUILD":
                # Attributes of an OrderedDict, torch's versions of the layers.
                stack.pop()
                _last(stack, dict)
            elif name == "STOP":
                return stack.pop()
            elif name != "PROTO":
                raise ValueError(f"it takes the step {name}, which a dict of tensors by torch.save does not need")
    except (IndexError, KeyError) as error:
        raise ValueError("its data.pkl is damaged: it asks for what it has not made") from error
    raise ValueError("its data.pkl is damaged: it has no end")


def _popped(stack: list[Any], begin: int) -> list[Any]:
    if not 0 <= begin <= len(stack):
        raise IndexError
    items = stack[begin:]
    del stack[begin:]
    return items


def _last(stack: list[Any], kind: type) -> Any:
    if type(stack[-1]) is not kind:
        raise ValueError(f"it changes a {type(stack[-1]).__name__} as if it were a {kind.__name__}")
    return stack[-1]


def _set(target: dict[str, Any], items: list[Any]) -> None:
    if len(items) % 2:
        raise IndexError
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str | int | float):
            raise ValueError(f"a key of a dict is a {type(key).__name__}, and names of tensors are words or numbers")
        # As words, whose hashes, unlike those of numbers and tuples, a file cannot choose.
        target[str(key)] = value


def _named(argument: Any, known: frozenset[str]) -> Named:
    name = str(argument).replace(" ", ".")
    if name not in known:
        raise ValueError(
            f"it names {name[:100]}, which a dict of tensors does not need and which is not run: "
            "where torch is installed and the file is trusted, save its state_dict() alone"
        )
    return Named(name)
