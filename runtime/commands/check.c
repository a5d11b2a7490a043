/* vmrt check */
#include <stdio.h>

#include "commands/options.h"
#include "oci/checks.h"

int command_check(const struct context *context, const struct command *self, int argc, char **argv)
{
    static const char *const verdicts[] = {
        [CHECK_OK] = "ok",
        [CHECK_MISSING] = "MISSING",
        [CHECK_NOTE] = "note",
    };
    enum options_result parsed = options_parse(self, NULL, 0, 0, 0, &argc, &argv);
    unsigned int missing = 0;

    if (parsed != OPTIONS_OK)
        return parsed == OPTIONS_ERROR;
    for (size_t i = 0; i < check_count; i++) {
        struct check_result result = { 0 };

        checks[i].run(context->host_settings, &result);
        printf("%-8s %-13s %s\n", verdicts[result.verdict], checks[i].name, result.detail);
        if (result.remedy[0])
            printf("%22s -> %s\n", "", result.remedy);
        missing += result.verdict == CHECK_MISSING;
    }
    puts(missing ? "\nThis host cannot run virtual machines."
                 : "\nThis host can run virtual machines.");
    return missing != 0;
}
