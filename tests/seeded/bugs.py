"""The bugs: each one that somebody could make, as small as it can be."""

from tests.seeded.damage import CHECKSUMS
from tests.seeded.deciding import CONDITIONS
from tests.seeded.durability import DURABILITY
from tests.seeded.reading import READS

BUGS = [*DURABILITY, *CHECKSUMS, *CONDITIONS, *READS]
