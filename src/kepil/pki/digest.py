"""How requesters name a hash algorithm, in OCSP and time-stamp requests alike."""

from dataclasses import dataclass
from typing import Self

from asn1crypto import algos, core

_NULL = core.Null().dump()


class _WithoutParameters(core.Sequence):  # type: ignore[misc]
    _fields = [("algorithm", core.ObjectIdentifier)]  # noqa: RUF012 - asn1crypto's way to declare a structure


@dataclass(frozen=True)
class DigestIdentifier:
    """An AlgorithmIdentifier of a hash algorithm.

    The parameters may be NULL or absent (RFC 5754 section 2). Answers repeat what the requester wrote, since simple
    clients compare to the byte.
    """

    oid: str
    null_parameters: bool

    @classmethod
    def read(cls, identifier: algos.DigestAlgorithm) -> Self:
        """Take it from a decoded request. Raises ValueError if it has parameters."""
        parameters = identifier["parameters"].dump()
        if parameters not in (b"", _NULL):
            raise ValueError("the hash algorithm has parameters")
        return cls(identifier["algorithm"].dotted, parameters == _NULL)

    def encode(self) -> algos.DigestAlgorithm:
        """The structure as it was read."""
        if self.null_parameters:
            return algos.DigestAlgorithm({"algorithm": self.oid, "parameters": core.Null()})
        return algos.DigestAlgorithm.load(_WithoutParameters({"algorithm": self.oid}).dump())
