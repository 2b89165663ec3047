"""Answers as AWS gives them, where the emulator's are less, for the proxy's `rewrite`.

What AWS documents wins over what an emulator does; tests/emulators/differences.rs lists where the two
differ. The truth that is put in is asked of the emulator by other calls, at the moment of the answer.
"""

import xml.etree.ElementTree as ElementTree

from lies import IAM


def show_boundaries(proxy, account):
    """From now on GetAccountAuthorizationDetails shows each user's PermissionsBoundary.

    AWS documents it as an element of UserDetail; fakecloud leaves it out. A controller that is told of
    no boundary takes everybody for drifted, and looks at everybody in each sweep, which on AWS it does
    not. Ends with `proxy.heal()`.
    """

    def change(_, status, headers, content):
        if status != 200:
            return status, headers, content
        boundaries = _boundaries(account.iam)
        root = ElementTree.fromstring(content)
        for user in root.iterfind(f".//{{{IAM}}}UserDetailList/{{{IAM}}}member"):
            boundary = boundaries.get(user.find(f"{{{IAM}}}UserName").text)
            if boundary and user.find(f"{{{IAM}}}PermissionsBoundary") is None:
                element = ElementTree.SubElement(user, f"{{{IAM}}}PermissionsBoundary")
                ElementTree.SubElement(element, f"{{{IAM}}}PermissionsBoundaryType").text = "Policy"
                ElementTree.SubElement(element, f"{{{IAM}}}PermissionsBoundaryArn").text = boundary
        return status, headers, ElementTree.tostring(root)

    return proxy.rewrite(1, change, lambda call: call.action == "GetAccountAuthorizationDetails", repeat=True)


def _boundaries(iam):
    """User -> ARN of its boundary, of all users that one of the account's own policies is the boundary of."""
    found = {}
    for page in iam.get_paginator("list_policies").paginate(Scope="Local"):
        for arn in (policy["Arn"] for policy in page["Policies"]):
            users = iam.get_paginator("list_entities_for_policy").paginate(
                PolicyArn=arn, EntityFilter="User", PolicyUsageFilter="PermissionsBoundary", PaginationConfig={"PageSize": 1000}
            )
            found |= {user["UserName"]: arn for page in users for user in page["PolicyUsers"]}
    return found
