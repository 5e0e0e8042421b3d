"""Recognition of image files: by an ending that only images have, else by the first bytes."""

import os
import re
import warnings
from functools import cache

NO_IMAGE = "no image"
UNSUPPORTED = "of a kind to be converted first (HEIC, JPEG XL, camera raw, SVG, EPS, PDF)"
UNOPENABLE = "cannot be opened"

#: Endings that are trusted: opening 50,000 files on a slow disk takes minutes. A file of another
#: format is counted when it is decoded.
TRUSTED = tuple(".jpg .jpeg .jfif .jpe .png .bmp .gif .webp .tif .tiff .ppm .pgm".split())

#: First bytes that only one format has.
_MAGIC = re.compile(
    rb"\xff\xd8\xff"  # JPEG
    rb"|\x89PNG\r\n\x1a\n"
    rb"|GIF8[79]a"
    rb"|BM.{4}\0{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0{3}"  # BMP with a header of a known size
    rb"|II\*\0|MM\0\*|II\+\0|MM\0\+"  # TIFF
    rb"|RIFF.{4}WEBP"
    rb"|P[1-7][ \t\r\n]+[#0-9WHDMT]|P[fF]\n"  # PPM and its relatives
    rb"|\0{3}\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"  # JPEG 2000
    rb"|8BPS\0\x01"  # Photoshop
    rb"|qoif"
    rb"|DDS \x7c\0{3}"
    rb"|\x59\xa6\x6a\x95"  # Sun raster
    rb"|SIMPLE  =",  # FITS
    re.DOTALL,
)

#: Brands of the container that AVIF and HEIC share.
_BRAND = re.compile(rb".{4}ftyp(.{4})", re.DOTALL)
_AVIF = (b"avif", b"avis")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

#: Images that Pillow does not decode, or only with a program that runs what the file says (EPS).
_FOREIGN = re.compile(
    rb"%PDF-|%!PS|\xc5\xd0\xd3\xc6|\xff\x0a|\0{3}\x0cJXL "
    rb"|\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg",
    re.DOTALL,
)

#: Raw files of cameras, many of which are TIFF files with a small preview.
_RAW = tuple(".cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .dng .orf .rw2 .raf .pef .srw".split())

#: Formats with first bytes that prove little: they count under an ending of their own only.
_WEAK = tuple("TGA PCX DCX ICO CUR ICNS SGI XBM XPM DIB IM MSP FLI PIXAR PCD BLP FTEX GBR".split())


def objection(path: str) -> str | None:
    """Return why a regular file is no image by its ending or first bytes; None if it is one."""
    if not os.access(path, os.R_OK):
        return UNOPENABLE
    ending = os.path.splitext(path)[1].lower()
    if ending in TRUSTED:
        return None
    if ending in _RAW:
        return UNSUPPORTED
    try:
        with open(path, "rb") as file:
            head = file.read(512)
    except OSError:
        return UNOPENABLE
    if _MAGIC.match(head):
        return None
    if brand := _BRAND.match(head):
        readable = brand[1] in _AVIF and _reads_avif()
        foreign = brand[1] in (*_AVIF, *_HEIC)
        return None if readable else UNSUPPORTED if foreign else NO_IMAGE
    if _FOREIGN.match(head):
        return UNSUPPORTED
    return None if _opens(path, _weak_formats().get(ending)) else NO_IMAGE


@cache
def _reads_avif() -> bool:
    from PIL import Image

    Image.init()
    return "AVIF" in Image.OPEN


@cache
def _weak_formats() -> dict[str, str]:
    """Return the endings of the weak formats that Pillow reads: ending -> format."""
    from PIL import Image

    Image.init()
    readable = {name for name in _WEAK if name in Image.OPEN}
    return {ending: name for ending, name in Image.EXTENSION.items() if name in readable}


def _opens(path: str, format_name: str | None) -> bool:
    """Return True if Pillow reads a header of that format."""
    from PIL import Image

    if format_name is None:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.open(path, formats=[format_name]).close()
    except Image.DecompressionBombError:
        return True  # an image, though too large; decoding says so
    except Exception:  # Pillow's readers raise errors of any type on files that are not theirs
        return False
    return True
