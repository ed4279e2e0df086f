"""Headers for what a caller calls things and says: checked here, before anything is sent. No I/O."""

from transfer.protocol import limits
from transfer.protocol.digest import UnsupportedAlgorithm, check_algorithm
from transfer.protocol.errors import BadMessage, UnsupportedDigest
from transfer.protocol.errors import InvalidName as InvalidNameError
from transfer.protocol.messages import TextHeader, UploadHeader
from transfer.protocol.names import InvalidName, Name


def upload_header(name: str, *, digest_algorithm: str, **fields: object) -> UploadHeader:
    """The header for a caller's own name. Raises InvalidName, UnsupportedDigest."""
    try:
        return UploadHeader(name=Name.parse(name), digest_algorithm=check_algorithm(digest_algorithm), **fields)  # type: ignore[arg-type]
    except InvalidName as refused:
        raise InvalidNameError(str(refused), rule=refused.rule) from None
    except UnsupportedAlgorithm as refused:
        raise UnsupportedDigest(str(refused), algorithm=refused.algorithm) from None


def text_header(text: str) -> TextHeader:
    """The header for a caller's own text. Raises BadMessage."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise BadMessage("the text is not Unicode: it has bytes that are no UTF-8, or a lone surrogate") from None
    if size > limits.MAX_TEXT_BYTES:
        raise BadMessage(f"a text of {size} bytes is longer than {limits.MAX_TEXT_BYTES}", limit=limits.MAX_TEXT_BYTES)
    return TextHeader(text=text)
