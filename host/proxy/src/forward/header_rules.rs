//! `request-headers` and `response-headers` of a route, as one message gets them.

use equipoise_http::{Edit, Head, Known, Name};

use super::ForwardedRequest;
use super::template::Values;
use equipoise_config::{HeaderRules, Member};

impl ForwardedRequest<'_> {
    /// Makes the fields of a request what the route's rules say, behind all that the proxy does with them.
    #[cold]
    pub(super) fn apply_request_rules(
        &self,
        rules: &HeaderRules,
        member: &Member,
        edit: &mut Edit,
    ) {
        let head = self.request;
        let removed = rules.set.iter().map(|(name, _)| name).chain(&rules.unset);
        removed.for_each(|name| remove_alike(edit, head, name));
        add(rules, head, &self.values(Some(member)), edit);
    }

    /// Makes the fields of a member's response what the route's rules say, behind all that the proxy does with them.
    #[cold]
    pub(super) fn apply_response_rules(
        &self,
        rules: &HeaderRules,
        member: &Member,
        response: &Head,
        edit: &mut Edit,
    ) {
        apply_to_response(rules, response, &self.values(Some(member)), edit);
    }

    /// What variables stand for at this member.
    pub(super) fn values<'exchange>(
        &'exchange self,
        member: Option<&'exchange Member>,
    ) -> Values<'exchange> {
        let balancer = &self.cluster.config.settings.name;
        Values {
            client: self.client,
            request: self.request,
            route: self.route,
            asked: member.map(|member| (&**balancer, member)),
            captured: None,
            id: &self.request_id,
        }
    }
}

/// Makes the fields of a response what rules say.
pub(super) fn apply_to_response(
    rules: &HeaderRules,
    response: &Head,
    values: &Values<'_>,
    edit: &mut Edit,
) {
    let removed = rules.set.iter().map(|(name, _)| name).chain(&rules.unset);
    removed.for_each(|name| edit.remove(&**name));
    add(rules, response, values, edit);
}

/// Adds what rules set and add to, where what they remove is gone.
fn add(rules: &HeaderRules, head: &Head, values: &Values<'_>, edit: &mut Edit) {
    let mut value = Vec::new();
    for (name, template) in &rules.set {
        value.clear();
        values.fill(template, &mut value);
        edit.add(&**name, value.trim_ascii());
    }
    for (name, template) in &rules.append {
        value.clear();
        values.fill(template, &mut value);
        match Name::from(&**name) {
            // No list that commas separate (RFC 9110, 5.3).
            name @ Name::Known(Known::SetCookie) => edit.add(name, value.trim_ascii()),
            name => edit.append(head, name, value.trim_ascii()),
        }
    }
}

/// Removes all fields of a name, and those that programs behind us may take for it: to many, an underscore is a dash.
fn remove_alike(edit: &mut Edit, head: &Head, name: &str) {
    edit.remove(name);
    if name.contains(['-', '_']) {
        let alike = |field: &[u8]| {
            let mut bytes = field.iter().zip(name.as_bytes());
            field.len() == name.len() && bytes.all(|(one, other)| plain(*one) == plain(*other))
        };
        let fields = head.iter().enumerate();
        let alike = fields.filter(|(_, field)| alike(field.name));
        alike.for_each(|(index, _)| edit.leave_out_at(index));
    }
}

fn plain(byte: u8) -> u8 {
    match byte {
        b'_' => b'-',
        byte => byte.to_ascii_lowercase(),
    }
}
