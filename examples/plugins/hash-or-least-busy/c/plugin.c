// Sends a user to the same member every time, and other requests to the least busy one.
//
// selector_plugin.h is written by wit-bindgen from the contract in wit/.

#include <stdlib.h>
#include <string.h>

#include "selector_plugin.h"

// The header field that names the user: the setting `header`.
static selector_plugin_string_t header;

// Copies the text: the host's arguments are freed at the end of the call.
static void name_header(const char *text, size_t length) {
    free(header.ptr);
    header.ptr = malloc(length);
    header.len = length;
    memcpy(header.ptr, text, length);
}

static bool equals(const selector_plugin_string_t *text, const char *other) {
    return text->len == strlen(other) && memcmp(text->ptr, other, text->len) == 0;
}

// Returns whether the settings are valid; if not, `error` says why.
bool exports_equipoise_balancer_selector_configure(
    exports_equipoise_balancer_selector_list_entry_t *settings,
    exports_equipoise_balancer_selector_list_member_config_t *members,
    selector_plugin_string_t *error)
{
    bool known = true;
    name_header("x-user", strlen("x-user"));
    for (size_t i = 0; i < settings->len; i++) {
        if (equals(&settings->ptr[i].key, "header")) {
            name_header((const char *)settings->ptr[i].value.ptr, settings->ptr[i].value.len);
        } else {
            known = false;
        }
    }
    exports_equipoise_balancer_selector_list_entry_free(settings);
    exports_equipoise_balancer_selector_list_member_config_free(members);
    if (!known) {
        selector_plugin_string_dup(error, "unknown setting; the only one is `header`");
    }
    return known;
}

// Returns whether there is a position: always, as count is never 0.
bool exports_equipoise_balancer_selector_select(uint32_t count, uint32_t *position) {
    uint32_t hash;
    if (equipoise_balancer_request_header_hash(&header, &hash)) {
        *position = hash % count;
        return true;
    }
    selector_plugin_list_u32_t busy;
    equipoise_balancer_candidates_busy(&busy);
    *position = 0;
    for (uint32_t i = 1; i < busy.len; i++) {
        if (busy.ptr[i] < busy.ptr[*position]) {
            *position = i;
        }
    }
    selector_plugin_list_u32_free(&busy);
    return true;
}
