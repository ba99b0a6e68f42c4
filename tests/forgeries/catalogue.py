"""All forgeries of bundles: what is wrong, how it is made from a good bundle, which step refuses it and why.

What a bundle's verification cannot see, because it needs keys, is in `test_seals`.
"""

from tests.forgeries.cosigners import COSIGNERS
from tests.forgeries.fields import FIELDS
from tests.forgeries.files import FILES
from tests.forgeries.policies import POLICIES, POLICY_RECORDS
from tests.forgeries.proofs import PROOFS
from tests.forgeries.recordings import RECORDINGS
from tests.forgeries.spellings import SPELLINGS
from tests.forgeries.statements import STATEMENTS

NAMED = (*FILES, *RECORDINGS, *STATEMENTS, *POLICIES, *PROOFS, *COSIGNERS)
"""One for each defect."""
OF_RECORDS = {place: FIELDS[place] + SPELLINGS[place] for place in FIELDS} | POLICY_RECORDS
"""For each record in a bundle, all that can be wrong with its fields and with its spelling."""
CATALOGUE = (*NAMED, *(forgery for forgeries in OF_RECORDS.values() for forgery in forgeries))
